"""A folder of blobs: bytes that are durable before anything names them."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from batchyard.places.faults import Reach, nothing
from batchyard.places.machine import disk_free_bytes
from batchyard.places.whole import sync_folder

__all__ = ["BlobCorruptError", "Blobs", "Segment", "Writing"]

# What lies beside the blobs and is none: what was thrown away, and whose blobs they are.
_TRASH, _MARK = "trash", "installation"
_NO_BLOBS = (_TRASH, _MARK, _MARK + ".part")

_CHUNK_BYTES = 1 << 20
_VERIFIED_MAX = 100_000


class BlobCorruptError(Exception):
    """A blob is gone, or is not what is recorded of it."""


class Blobs:
    """Blobs by name in one folder; a name may have slashes and is never a user's text.

    The folder must be there: one that was removed is not made anew. What is created here leaves
    `reserve_bytes` of the disk to others.
    """

    def __init__(self, folder: Path, reach: Reach = nothing, *, reserve_bytes: int = 0) -> None:
        self._folder, self._reach = folder, reach
        self._reserve_bytes = reserve_bytes
        # What was found sound, and what it looked like then.
        self._verified: dict[tuple[str, int, str], tuple[int, int, int]] = {}

    def create(self, name: str) -> "Writing":
        """Begin a blob that appears under its name, whole and durable, at `commit`."""
        return Writing(self._made(name), self._reach, self._reserve_bytes)

    def segment(self, name: str) -> "Segment":
        """Begin a blob that grows by durable appends."""
        return Segment(self._made(name), name, self._reach)

    def open(self, name: str) -> BinaryIO:
        """Open a blob for reading; raises BlobCorruptError when it is gone."""
        try:
            return self._path(name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobCorruptError(f"blob {name} is gone") from error

    def chunks(
        self,
        name: str,
        *,
        start: int = 0,
        length: int | None = None,
        piece_bytes: int = _CHUNK_BYTES,
    ) -> Iterator[bytes]:
        """The bytes of a blob from `start`, in pieces of at most 1 MiB; BlobCorruptError."""
        with self.open(name) as blob:
            blob.seek(start)
            left = length if length is not None else os.fstat(blob.fileno()).st_size - start
            while left > 0:
                chunk = blob.read(min(left, piece_bytes))
                if not chunk:
                    raise BlobCorruptError(f"blob {name} is shorter than what is recorded of it")
                left -= len(chunk)
                yield chunk

    def read(self, name: str, start: int, length: int) -> bytes:
        """That many bytes of a blob from `start`."""
        return b"".join(self.chunks(name, start=start, length=length))

    def verify(self, name: str, size_bytes: int, sha256: str) -> None:
        """Hold the first bytes of a blob against their hash; raises BlobCorruptError.

        One that was found sound is read again only when its file was touched since.
        """
        with self.open(name) as blob:
            found = os.fstat(blob.fileno())
        looks = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._verified.get((name, size_bytes, sha256)) == looks:
            return
        hashed = hashlib.sha256()
        for chunk in self.chunks(name, length=size_bytes):
            hashed.update(chunk)
        if sha256 and hashed.hexdigest() != sha256:
            raise BlobCorruptError(f"blob {name} is not what was written")
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified.clear()
        self._verified[name, size_bytes, sha256] = looks

    def delete(self, names: Iterable[str]) -> None:
        """Delete blobs; those that are gone already are no fault."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def look(self, name: str) -> tuple[int, float] | None:
        """The length of a blob and when it was last written; None when it is gone."""
        try:
            found = self._path(name).stat()
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime

    def names(self) -> Iterator[str]:
        """The names of all blobs and of what was left unfinished."""
        try:
            tops = sorted(self._folder.iterdir())
        except FileNotFoundError:
            return
        for top in tops:
            if top.name in _NO_BLOBS:
                continue
            for path in (top, *top.rglob("*")):
                if path.is_file():
                    yield path.relative_to(self._folder).as_posix()

    def throw_away(self, names: Iterable[str], now: int) -> int:
        """Move blobs to the trash, where they stay for a while; tells how many it moved."""
        moved = 0
        for name in names:
            place = self._folder / _TRASH / str(now) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self._path(name).rename(place)
                moved += 1
        return moved

    def take_out(self, names: Iterable[str], now: int) -> None:
        """Put back what was thrown away at that moment."""
        for name in names:
            with suppress(FileNotFoundError):
                (self._folder / _TRASH / str(now) / name).rename(self._path(name))

    def empty_trash(self, before: int) -> None:
        """Delete for good what was thrown away before that moment; raises OSError."""
        with suppress(FileNotFoundError):
            for folder in (self._folder / _TRASH).iterdir():
                if folder.name.isdecimal() and int(folder.name) < before:
                    shutil.rmtree(folder)

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _made(self, name: str) -> Path:
        """The place of a blob, with the folders between."""
        path = self._path(name)
        if not path.parent.is_dir():
            for between in [*path.relative_to(self._folder).parents][-2::-1]:
                (self._folder / between).mkdir(exist_ok=True)
        return path


class Writing:
    """A blob while it is written; without `commit` it never was."""

    def __init__(self, path: Path, reach: Reach, reserve_bytes: int) -> None:
        self._reach, self._reserve_bytes = reach, reserve_bytes
        self._path = path
        self._temporary = path.with_name(path.name + ".unfinished")
        self._file = self._temporary.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._durable = False
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append; raises OSError when the disk is full, but for its reserve."""
        if self._reserve_bytes and disk_free_bytes(self._path.parent) < self._reserve_bytes:
            raise OSError(errno.ENOSPC, "No space left on the disk, but for its reserve")
        _write_all(self._file, chunk)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def commit(self) -> str:
        """Make it durable under its name; returns the SHA-256 in hexadecimal."""
        self._reach("blob.before_sync")
        os.fsync(self._file.fileno())
        self._file.close()
        self._reach("blob.before_rename")
        self._temporary.rename(self._path)
        sync_folder(self._path.parent)
        self._reach("blob.after_rename")
        self._durable = True
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Leave no trace, unless `commit` has succeeded."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
        if not self._durable:
            self._path.unlink(missing_ok=True)


class Segment:
    """A blob that one worker appends to; only what a transaction has marked counts."""

    def __init__(self, path: Path, name: str, reach: Reach) -> None:
        self._reach = reach
        self.name = name
        self._path = path
        self._file = path.open("xb", buffering=0)
        sync_folder(path.parent)
        self._hash = hashlib.sha256()
        self._next_hash = self._hash
        self._next_bytes = 0
        self.size_bytes = 0

    def append(self, chunk: bytes) -> None:
        """Add bytes behind the marked ones and make them durable; not yet marked.

        Raises OSError; then the segment is not to be used again, for after a failed sync
        nobody knows what the disk holds.
        """
        self._file.seek(self.size_bytes)
        self._file.truncate()
        _write_all(self._file, chunk)
        self._reach("segment.before_sync")
        os.fdatasync(self._file.fileno())
        self._reach("segment.after_sync")
        self._next_hash = self._hash.copy()
        self._next_hash.update(chunk)
        self._next_bytes = self.size_bytes + len(chunk)

    @property
    def reached(self) -> tuple[int, str]:
        """Length and SHA-256 of the segment with what was appended last."""
        return self._next_bytes, self._next_hash.hexdigest()

    def mark(self) -> None:
        """What was appended last is recorded: the next goes behind it."""
        self._hash = self._next_hash
        self.size_bytes = self._next_bytes

    def close(self) -> None:
        """Close the file; its blob stays."""
        self._file.close()


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
