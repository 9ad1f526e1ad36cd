"""An input file that is read twice: once from end to end, and then in spans, with checksums."""

from __future__ import annotations

import os
import stat
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

__all__ = ["InputChangedError", "InputFile"]

_CHUNK_BYTES = 1 << 20
# Each block has a checksum of its own; a span is read with the blocks that it touches.
_BLOCK_BYTES = 1 << 16


class InputChangedError(Exception):
    """The bytes of a span are not those that were read first."""


class InputFile:
    """A file that stays open, so that renaming or removing it changes nothing for its reader.

    What is changed in place is noticed when a span is read: the first pass keeps four bytes for
    each 64 KiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._first = os.fstat(self._descriptor)
        self._checksums = array("I")
        self.size_bytes = 0

    @property
    def is_seekable(self) -> bool:
        """Whether it is a regular file, which can be read a second time."""
        return stat.S_ISREG(self._first.st_mode)

    def chunks(self) -> Iterator[bytes]:
        """The first pass: all bytes there are, which from then on are the file's content."""
        self._checksums, self.size_bytes = array("I"), 0
        while chunk := self._read(self.size_bytes, _CHUNK_BYTES):
            self.size_bytes += len(chunk)
            self._checksums.extend(_checksums(chunk))
            yield chunk
            if len(chunk) < _CHUNK_BYTES:
                # Only the last chunk may end within a block: a file that grows ends here.
                return

    def read(self, offset: int, size_bytes: int) -> bytes:
        """A span of the content; raises InputChangedError where it is another by now."""
        first = offset // _BLOCK_BYTES
        start, end = first * _BLOCK_BYTES, offset + size_bytes
        end = min(self.size_bytes, end + -end % _BLOCK_BYTES)
        blocks = self._read(start, end - start)
        found = _checksums(blocks)
        if len(blocks) < end - start or found != self._checksums[first : first + len(found)]:
            raise InputChangedError(str(self.path))
        return blocks[offset - start : offset - start + size_bytes]

    def is_at_path(self) -> bool:
        """Whether the path still leads to the file as it was opened, as far as can be seen."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        return _looks(there) == _looks(self._first)

    def close(self) -> None:
        """Close it; a second time is no fault."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _read(self, offset: int, size_bytes: int) -> bytes:
        """So many bytes, fewer only at the end of the file."""
        parts = []
        while size_bytes:
            part = os.pread(self._descriptor, size_bytes, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size_bytes -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _checksums(text: bytes) -> array[int]:
    view = memoryview(text)
    return array(
        "I", [zlib.crc32(view[at : at + _BLOCK_BYTES]) for at in range(0, len(text), _BLOCK_BYTES)]
    )


def _looks(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
