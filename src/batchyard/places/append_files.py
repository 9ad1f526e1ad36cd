"""Files that grow together: a group of texts is added to all of them, or to none."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["AppendFiles", "FileReplacedError"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class FileReplacedError(Exception):
    """A file was removed, replaced, or written to by somebody else; its path is the text."""


class AppendFiles:
    """Files that are open for one process, which remembers how far each of them is durable.

    What lies behind that size is surplus of a failed append. It is cut off at once where the disk
    lets us, and before anything else is added in any case, so that nothing is added twice.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._descriptors: list[int] = []
        try:
            for path in self._paths:
                self._descriptors.append(os.open(path, _FLAGS, 0o666))
        except OSError:
            self.close()
            raise
        self._sizes = [os.fstat(descriptor).st_size for descriptor in self._descriptors]
        self._has_surplus = False

    def append(self, texts: Sequence[bytes]) -> None:
        """Add a text to each file and make them durable.

        Raises OSError, and then nothing was added to any of them. After a failed sync the kernel
        may hold pages for clean that never reached the disk: only writing them again helps, which
        the next append does, as it begins at the same place. Raises FileReplacedError.
        """
        if self._has_surplus:
            self._cut_surplus()
        for path, descriptor, size in zip(self._paths, self._descriptors, self._sizes, strict=True):
            _verify(path, descriptor, size)
        self._has_surplus = True
        added = [one for one in zip(self._descriptors, self._sizes, texts, strict=True) if one[2]]
        try:
            for descriptor, size, text in added:
                _write_all(descriptor, size, text)
            for descriptor, _, _ in added:
                os.fdatasync(descriptor)
        except OSError:
            with suppress(OSError):
                self._cut_surplus()
            raise
        self._sizes = [size + len(text) for size, text in zip(self._sizes, texts, strict=True)]
        self._has_surplus = False

    def close(self) -> None:
        """Close the files; a second time is no fault."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)

    def _cut_surplus(self) -> None:
        for descriptor, size in zip(self._descriptors, self._sizes, strict=True):
            os.ftruncate(descriptor, size)
        self._has_surplus = False


def _write_all(descriptor: int, offset: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset += written
        rest = rest[written:]


def _verify(path: Path, descriptor: int, size: int) -> None:
    """Raise FileReplacedError where a path no longer leads to the file as it was left."""
    ours = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        raise FileReplacedError(str(path)) from None
    if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) or ours.st_size != size:
        raise FileReplacedError(str(path))
