"""The data folder: one server at a time, readable by its owner alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from batchyard.places.blobs import Blobs
from batchyard.places.log import log
from batchyard.places.whole import publish

__all__ = ["DataFolder", "FolderInUseError"]

# A file of this name stands in the data folder and in that of the blobs, which may be mounted
# apart; it says to which database they belong.
_MARK = "installation"
_OWNERS_FOLDER, _OWNERS_FILE = 0o700, 0o600


class FolderInUseError(Exception):
    """Another server has this data folder."""


class DataFolder:
    """The places in a data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "batchyard.sqlite"
        self.database_url = f"sqlite:///{self.database}"
        self.blobs = self.path / "blobs"
        self.bell = self.path / "bell"
        self.workers = self.path / "workers"
        self._lock: IO[bytes] | None = None

    @property
    def exists(self) -> bool:
        """Whether a server has been here."""
        return self.database.exists()

    @property
    def lacks_database(self) -> bool:
        """Whether there are blobs, or traces of them, and no database or an empty one."""
        rows = (self.database, self.database.with_name(self.database.name + "-wal"))
        if any(path.exists() and path.stat().st_size > 0 for path in rows):
            return False
        return self.has_blobs or any(mark and mark[1] for mark in self.marks())

    @property
    def has_blobs(self) -> bool:
        """Whether there is any blob."""
        return next(Blobs(self.blobs).names(), None) is not None

    def make(self) -> None:
        """Make the folder where it is not there, and shut it to all but its owner.

        From here on this process makes files that only their owner can read.
        """
        os.umask(0o077)
        self.path.mkdir(parents=True, exist_ok=True, mode=_OWNERS_FOLDER)
        for folder in (self.blobs, self.workers):
            folder.mkdir(exist_ok=True)
        self.shut()

    def shut(self) -> None:
        """Shut the folder to all but its owner, whoever made it, and whatever is in it."""
        os.umask(0o077)
        for path, mode in self._modes():
            try:
                if path.stat().st_mode & 0o077:
                    path.chmod(mode)
            except FileNotFoundError:
                continue
            except OSError as fault:
                # A folder of somebody else, or a file system without modes.
                log.warning("others_may_read", path=str(path), fault=str(fault))

    def lock(self) -> None:
        """Take the folder for this process until it ends; raises FolderInUseError."""
        self._lock = (self.path / "lock").open("ab")
        # A lock that children inherited would outlive a killed server.
        os.set_inheritable(self._lock.fileno(), False)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(str(self.path)) from error

    def marks(self) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
        """The marks beside the database and beside the blobs: an id, and a generation."""
        return _mark_at(self.path / _MARK), _mark_at(self.blobs / _MARK)

    def set_marks(self, mark: tuple[str, int]) -> None:
        """Write both marks; raises OSError."""
        for folder in (self.blobs, self.path):
            if _mark_at(folder / _MARK) != mark:
                publish(folder / _MARK, msgspec.json.encode(mark) + b"\n")

    def _modes(self) -> Iterator[tuple[Path, int]]:
        for folder in (self.path, self.blobs, self.workers):
            yield folder, _OWNERS_FOLDER
        with suppress(FileNotFoundError):
            for path in self.path.iterdir():
                if path.is_file():
                    yield path, _OWNERS_FILE


def _mark_at(path: Path) -> tuple[str, int] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        return None
