"""Records put aside in bins on the disk, and read back one bin at a time."""

import os
import tempfile
from array import array
from collections import defaultdict
from pathlib import Path
from typing import IO

__all__ = ["Bins"]

_HELD_BYTES = 4 << 20


class Bins:
    """Bins by number, in one file that has no name: a kill leaves nothing of it behind.

    The newest few megabytes are held in memory, so what is small never touches the disk. The file
    is in `folder`, for the one of the system may be in memory itself.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._held: defaultdict[int, list[bytes]] = defaultdict(list)
        self._size = self._end = 0
        # Begin and length of each part of a bin, one after the other.
        self._places: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))

    def put(self, number: int, record: bytes) -> None:
        """Add a record to a bin."""
        self._held[number].append(record)
        self._size += len(record)
        if self._size > _HELD_BYTES:
            self._spill()

    def read(self, number: int) -> bytes:
        """All records of a bin, as they were put."""
        parts = [*self._held.get(number, ())]
        places = self._places.get(number)
        if places and self._file is not None:
            here = self._file.fileno()
            spans = zip(places[::2], places[1::2], strict=True)
            parts = [os.pread(here, length, start) for start, length in spans] + parts
        return b"".join(parts)

    @property
    def numbers(self) -> list[int]:
        """Which bins have records, in order."""
        return sorted({*self._places, *self._held})

    def close(self) -> None:
        """Forget all of it."""
        self._held.clear()
        self._places.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115
        parts = []
        for number, held in self._held.items():
            part = b"".join(held)
            self._places[number].extend((self._end, len(part)))
            self._end += len(part)
            parts.append(part)
        whole = memoryview(b"".join(parts))
        while whole:
            whole = whole[self._file.write(whole) :]
        self._held.clear()
        self._size = 0
