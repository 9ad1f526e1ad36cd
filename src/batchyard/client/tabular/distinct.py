"""Which requests were seen before, however many there are."""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from batchyard.client.building.writing import Seen

__all__ = ["Distinct"]

_IN_MEMORY = 500_000
_TABLE = "create table if not exists seen (key blob primary key, unit integer) without rowid"


class Distinct:
    """The numbers of distinct requests by their keys; what memory does not hold is in a file.

    The file is of no use afterwards, and is gone.
    """

    def __init__(self, folder: Path, in_memory: int = _IN_MEMORY) -> None:
        self._path, self._most = folder / "distinct.sqlite", in_memory
        self._newest: dict[bytes, int] = {}
        self._marks = Seen()
        self._older: sqlite3.Connection | None = None

    def unit_of(self, key: bytes) -> int | None:
        """The number that this key was given before; where it was given none, `add` must follow."""
        unit = self._newest.get(key)
        # Most keys are new, and for most of those eight bytes in memory say so.
        if unit is None and self._older is not None and not self._marks.add(key):
            found = self._older.execute("select unit from seen where key = ?", (key,)).fetchone()
            unit = None if found is None else int(found[0])
        return unit

    def add(self, key: bytes, unit: int) -> None:
        """Remember a key that is new."""
        self._newest[key] = unit
        if len(self._newest) >= self._most:
            self._move()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self._older is not None:
            self._older.close()
            self._path.unlink(missing_ok=True)

    def _move(self) -> None:
        """Make room: from memory to the file."""
        if self._older is None:
            self._older = sqlite3.connect(self._path, isolation_level=None)
            self._older.execute("pragma journal_mode = off")
            self._older.execute("pragma synchronous = off")
            self._older.execute(_TABLE)
            for key in self._newest:
                self._marks.add(key)
        self._older.execute("begin")
        self._older.executemany("insert into seen values (?, ?)", sorted(self._newest.items()))
        self._older.execute("commit")
        self._newest.clear()
