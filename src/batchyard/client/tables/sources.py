"""Whatever holds rows, opened by what it is: files, streams, frames, queries, iterables."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from batchyard.client.building.rows import as_row
from batchyard.client.tables import frames
from batchyard.client.tables.errors import TableError, extra
from batchyard.client.tables.textfiles import TEXT_KINDS, Peeked, read_text

__all__ = ["SUFFIXES", "Query", "Table", "kind_of", "rows_of", "table_of"]

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
}
# DuckDB's files, which are often called .db too, have this after eight bytes.
_DUCKDB_MAGIC = b"DUCK"

Row = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """The rows that a statement gives.

    `url` is SQLAlchemy's, as `postgresql://...`; `duckdb:///FILE` and, without one, DuckDB in
    memory, which reads files by their names, want the extra `data`.
    """

    statement: str
    url: str = "duckdb://"
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows to be read one at a time; `again` where that can be done more than once.

    `types` are DuckDB's names of the columns' types, where it has read them.
    """

    kind: str
    rows: Callable[[], Iterator[Row]]
    again: bool = True
    types: Callable[[], dict[str, str]] = dict

    def __iter__(self) -> Iterator[Row]:
        return self.rows()


def rows_of(source: Any, *, kind: str | None = None, table: str | None = None) -> Iterator[Row]:
    """The rows of a source, by the names of the columns, in constant memory.

    A source is a path, `-` for stdin, an open binary stream, a Query, the URL of a database (with
    `table`), a data frame, an Arrow table, a Hugging Face dataset, or an iterable of mappings,
    records or texts. `kind` says what a file is where its suffix does not.
    """
    return table_of(source, kind=kind, table=table).rows()


def table_of(source: Any, *, kind: str | None = None, table: str | None = None) -> Table:
    """A source as a Table; it is opened when its rows are read. See `rows_of`."""
    if isinstance(source, Table):
        return source
    if isinstance(source, Query):
        return _of_query(source)
    if isinstance(source, str | os.PathLike):
        return _of_name(os.fspath(source), kind, table)
    if hasattr(source, "read"):
        return _of_stream(source, kind)
    if (reader := frames.reader_of(source)) is not None:
        return Table("frame", lambda: reader(source), again=frames.reads_again(source))
    if isinstance(source, Mapping):
        raise TableError(
            "A mapping is one row, one split of many, or columns: give a list of rows, one split, "
            "or a frame."
        )
    if not isinstance(source, Iterable):
        raise TableError(f"No rows can be read from {type(source).__name__}.")
    return Table("rows", lambda: _rows(source), again=not isinstance(source, Iterator))


def kind_of(path: Path) -> str:
    """What a file is by its suffix, or by that before .gz."""
    suffixes = [one.lower() for one in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise TableError(
            f"{path.name} has none of the suffixes {known}: say its kind. Texts are given as a "
            "list."
        )
    return kind


def _rows(source: Iterable[Any]) -> Iterator[Row]:
    """Rows of a list; one that is missing has no text."""
    for number, given in enumerate(source, 1):
        # NaN is what a column has where nothing is.
        if given is None or (isinstance(given, float) and given != given):
            yield {"text": None}
            continue
        try:
            row = as_row(given)
        except TypeError as error:
            raise TableError(f"Row {number}: {error}") from error
        yield dict(row)


def _of_query(query: Query) -> Table:
    if query.url.startswith("duckdb:"):
        duck = extra("duck")
        file = query.url.removeprefix("duckdb:").removeprefix("//").removeprefix("/") or None
        asked = (query.statement, dict(query.parameters), file)
        return Table(
            "query", lambda: duck.query_rows(*asked), types=lambda: duck.query_types(*asked)
        )
    return Table("query", lambda: extra("databases").query_rows(query))


def _of_name(name: str, kind: str | None, table: str | None) -> Table:
    if name == "-":
        return _of_stream(sys.stdin.buffer, kind)
    if "://" in name and table is not None:
        return Table("database", lambda: extra("databases").table_rows(name, table))
    path = Path(name)
    kind = kind or kind_of(path)
    if kind == "sqlite" and path.is_file() and _is_duckdb(path):
        kind = "duckdb"
    if kind == "parquet":
        duck = extra("duck")
        return Table(kind, lambda: duck.parquet_rows(name), types=lambda: duck.parquet_types(name))
    if not path.is_file():
        raise TableError(f"There is no file {name}; texts alone are given as a list.")
    if kind in TEXT_KINDS:
        return Table(kind, lambda: read_text(path, kind))
    if kind == "duckdb":
        duck = extra("duck")
        return Table(
            kind, lambda: duck.table_rows(path, table), types=lambda: duck.table_types(path, table)
        )
    if kind == "sqlite":
        return Table(kind, lambda: extra("databases").table_rows(path, table))
    raise TableError(f"'{kind}' is no kind of table; there are {_kinds()}.")


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == _DUCKDB_MAGIC


def _of_stream(stream: Any, kind: str | None) -> Table:
    binary: Any = getattr(stream, "buffer", stream)
    if isinstance(binary, io.TextIOBase):
        raise TableError("The stream is one of text; open it in binary, as BytesIO or with 'rb'.")
    if kind is not None and kind not in TEXT_KINDS:
        raise TableError(f"A stream is one of {', '.join(TEXT_KINDS)}; '{kind}' needs a file.")
    return Table(kind or "stream", lambda: _stream_rows(binary, kind), again=False)


def _stream_rows(stream: Any, kind: str | None) -> Iterator[Row]:
    """Rows of a stream: where nothing says what it is, objects are JSONL and the rest is CSV."""
    if kind is not None:
        return read_text(stream, kind)
    peeked = Peeked(stream)
    begins = peeked.begins()
    return read_text(cast("IO[bytes]", peeked), "jsonl" if begins == b"{" else "csv")


def _kinds() -> str:
    return ", ".join(dict.fromkeys(SUFFIXES.values()))
