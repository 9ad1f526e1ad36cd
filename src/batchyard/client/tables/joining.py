"""Rows and their results side by side, in the order of the rows."""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import IO, Any

import msgspec

from batchyard.client.building.packing import count_in
from batchyard.client.building.requests import custom_id_of
from batchyard.client.building.rows import key_of
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.results import Result, result_of
from batchyard.client.tables import frames
from batchyard.client.tables.columns import Columns, PriceOf
from batchyard.client.tables.errors import TableError
from batchyard.client.tables.sources import Table, table_of
from batchyard.wire.lines import split_object

__all__ = ["Key", "Pairs", "add_answers", "added", "join"]

Row = dict[str, Any]
Key = str | Sequence[str] | Callable[[Row], Any] | None
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
# How the lines of a campaign's results begin.
_OURS = b'{"line":'
# A row, and what its result is told as beside it.
Pair = tuple[Row, dict[str, Any]]


def join(
    source: Any,
    results: Paths,
    *,
    key: Key = None,
    shape: Any = None,
    price_of: PriceOf | None = None,
    prefix: str = "",
) -> Table:
    """The rows of a source, each with columns of its answer: `outcome`, `error`, tokens, cost.

    `results` is the `results.jsonl` of a campaign that asked one request for each of the rows (or,
    by `build.pack`, many rows in each), in their order; it must fit the rows, or TableError is
    raised. With `key`, the column or columns that the custom_ids were made of, results may be
    files of any Batch API, in any order; a row without a result has the outcome `missing`. A
    column whose name the rows have already is called `answer_NAME`.
    """
    table = table_of(source)
    pairs = Pairs(table, results, key=key, shape=shape, price_of=price_of, prefix=prefix)
    return replace(table, kind="joined", rows=pairs.rows, types=pairs.types)


def add_answers(
    source: Any,
    results: Paths,
    *,
    key: Key = None,
    shape: Any = None,
    price_of: PriceOf | None = None,
    prefix: str = "",
) -> Any:
    """The same kind of thing as the source, with columns of the answers added; see `join`.

    That is a frame of pandas, polars or Arrow, or a Hugging Face dataset, whose own columns stay
    as they are; else a list of rows.
    """
    pairs = Pairs(table_of(source), results, key=key, shape=shape, price_of=price_of, prefix=prefix)
    return added(source, pairs, pairs.types)


def added(source: Any, pairs: Iterable[Pair], types: Callable[[], dict[str, str]]) -> Any:
    """The same kind of thing as the source, with what is beside its rows added."""
    add = frames.adder_of(source)
    if add is None:
        return [{**row, **told} for row, told in pairs]
    columns: dict[str, list[Any]] = {}
    for _, told in pairs:
        for name, value in told.items():
            columns.setdefault(name, []).append(value)
    return add(source, columns, types())


class Pairs:
    """What `join` joins, with row and answer apart."""

    def __init__(self, table: Table, results: Paths, *, key: Key, prefix: str, **how: Any) -> None:
        many = [results] if isinstance(results, str | PathLike) else results
        self._paths = [Path(one) for one in many]
        self._table, self._key, self._prefix = table, key, prefix
        like = next((one for one in _results(self._paths) if one.succeeded), None)
        self._names: dict[str, str] = {}
        self._columns = Columns(how["shape"], like, how["price_of"])

    def rows(self) -> Iterator[Row]:
        """The rows, each with the columns of its answer."""
        for row, told in self:
            yield {**row, **told}

    def types(self) -> dict[str, str]:
        """DuckDB's types of the columns, as far as they are known once the rows were read."""
        own = {self._names.get(name, name): kind for name, kind in self._columns.types.items()}
        return self._table.types() | own

    def __iter__(self) -> Iterator[Pair]:
        names = self._names = dict[str, str]()
        is_same = False
        for row, told in self._by_position() if self._key is None else self._by_key():
            if not names:
                names |= {one: _free(f"{self._prefix}{one}", row) for one in self._columns.names}
                is_same = all(one == own for one, own in names.items())
            if not is_same:
                told = {names.get(one, one): value for one, value in told.items()}
            if not told.keys().isdisjoint(row):
                name = next(name for name in told if name in row)
                raise TableError(
                    f"A row has a column '{name}' that the first has not: give a prefix."
                )
            yield row, told

    def _by_position(self) -> Iterator[Pair]:
        for number, (row, told) in enumerate(zip_longest(self._table.rows(), self._told()), 1):
            if row is None or told is None:
                most = "rows" if told is None else "results"
                raise TableError(
                    f"There are more {most} than the {number - 1:,} of the other: these are not "
                    "the rows that were asked."
                )
            yield row, told

    def _told(self) -> Iterator[dict[str, Any]]:
        """The columns of each row, in the order of the results; many of a line that has many."""
        for number, result in enumerate(_results(self._paths), 1):
            if result.line != number:
                raise TableError(
                    f"Line {number} of {self._paths[0].name} is not that of request {number}: "
                    "results that are not a campaign's want a key."
                )
            parts = count_in(result.custom_id)
            for part in range(parts):
                yield self._columns.of(result, part, parts)

    def _by_key(self) -> Iterator[Pair]:
        with _Finder(self._paths) as finder:
            for row in self._table.rows():
                result = finder.find(self._custom_id(row))
                yield row, self._columns.missing() if result is None else self._columns.of(result)

    def _custom_id(self, row: Row) -> str:
        key = self._key
        assert key is not None
        return custom_id_of(key(row) if callable(key) else key_of(row, key))


class _Finder:
    """Finds results by custom_id: mostly it is the next one, else an index on disk tells."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stack = ExitStack()
        self._files: list[IO[bytes]] = []
        self._index: sqlite3.Connection | None = None

    def __enter__(self) -> "_Finder":
        self._next = self._stack.enter_context(closing(_results(self._paths)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, custom_id: str) -> Result | None:
        """The result of a request; None where there is none."""
        if self._index is None:
            result = next(self._next, None)
            if result is not None and result.custom_id == custom_id:
                return result
            self._index = self._indexed()
        asked = "select file, start, length from place where custom_id = ?"
        place = self._index.execute(asked, (custom_id,)).fetchone()
        if place is None:
            return None
        file = self._files[place[0]]
        file.seek(place[1])
        return _read(file.read(place[2]))

    def _indexed(self) -> sqlite3.Connection:
        """Where each result stands; of two for the same request, one that succeeded."""
        index = self._stack.enter_context(closing(sqlite3.connect("", isolation_level=None)))
        index.execute(
            "create table place (custom_id text primary key, file int, start int, length int, "
            "succeeded int) without rowid"
        )
        index.execute("begin")
        index.executemany(
            "insert into place values (?, ?, ?, ?, ?) on conflict (custom_id) do update set "
            "file = excluded.file, start = excluded.start, length = excluded.length, "
            "succeeded = excluded.succeeded where excluded.succeeded >= succeeded",
            _places(self._paths),
        )
        index.execute("commit")
        self._files = [self._stack.enter_context(path.open("rb")) for path in self._paths]
        return index


def _places(paths: Sequence[Path]) -> Iterator[tuple[str, int, int, int, bool]]:
    for number, path in enumerate(paths):
        for start, line in placed_lines(path):
            found = _read(line)
            if found is not None:
                yield found.custom_id, number, start, len(line), found.succeeded


def _results(paths: Sequence[Path]) -> Generator[Result, None, None]:
    for path in paths:
        for _, line in placed_lines(path):
            found = _read(line)
            if found is None:
                raise TableError(f"{path.name} has a line that is no result: {line[:80]!r}.")
            yield found


def _read(line: bytes) -> Result | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, RecursionError):
        # Of another Batch API, or with what only a patient decoder reads.
        is_ours = line.startswith(_OURS)
        return result_of(line, int(split_object(line)["line"]) if is_ours else 0)


def _free(name: str, row: Row) -> str:
    while name in row:
        name = f"answer_{name}"
    return name


_decode = msgspec.json.Decoder(Result).decode
