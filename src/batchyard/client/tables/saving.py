"""Rows written to a file or a stream, which is there when all of it is."""

import gzip
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from batchyard.client.tables.errors import TableError, extra
from batchyard.client.tables.sources import kind_of, table_of
from batchyard.client.tables.sqlite import write_sqlite
from batchyard.client.tables.textfiles import widen, write_csv, write_jsonl
from batchyard.places.whole import replaced

__all__ = ["write_table"]

_BUFFER_BYTES = 1 << 20
_DELIMITERS = {"csv": ",", "tsv": "\t"}

Row = dict[str, Any]


def write_table(
    rows: Any,
    destination: Any,
    *,
    kind: str | None = None,
    table: str = "answers",
    replace: bool = False,
) -> int:
    """Write rows, or whatever `rows_of` reads, in constant memory; returns how many.

    A destination is a path, `-` for stdout, or an open binary stream; streams are JSONL unless
    `kind` says otherwise. A file is replaced as a whole, once all of it is written. Into a file of
    SQLite's or DuckDB's goes a `table`, beside its others; one that is there stays, and
    TableError is raised, unless `replace` says otherwise.
    """
    source = table_of(rows)
    many = source.rows()
    if not isinstance(destination, str | os.PathLike) or os.fspath(destination) == "-":
        stream = sys.stdout.buffer if isinstance(destination, str) else destination
        return _to_stream(many, stream, kind or "jsonl")
    path = Path(destination)
    kind = kind or kind_of(path)
    if kind == "sqlite":
        return write_sqlite(many, path, table=table, replace=replace)
    if kind == "duckdb":
        duck = extra("duck_writing")
        return int(duck.write_duckdb(many, path, source.types, table=table, replace=replace))
    with replaced(path) as partial:
        if kind == "parquet":
            return int(extra("duck_writing").write_parquet(many, partial, source.types))
        return _to_file(many, partial, kind, zipped=path.suffix == ".gz")


def _to_file(rows: Iterable[Row], path: Path, kind: str, *, zipped: bool) -> int:
    opened: Callable[[Path], IO[bytes]] = _zipped if zipped else _plain
    if kind == "jsonl":
        with opened(path) as out:
            return write_jsonl(rows, out)
    if kind not in _DELIMITERS:
        raise TableError(f"'{kind}' is read and not written: write csv, jsonl or parquet.")
    first: list[str] = []
    with opened(path) as out:
        count, names = write_csv(_noting(rows, first), out, _DELIMITERS[kind])
    if names[len(first) :]:
        short = path.with_name(f"{path.name}.short")
        path.replace(short)
        try:
            with opened(path) as out:
                widen(short, out, names, _DELIMITERS[kind])
        finally:
            short.unlink()
    return count


def _to_stream(rows: Iterable[Row], stream: IO[bytes], kind: str) -> int:
    if kind == "jsonl":
        return write_jsonl(rows, stream)
    if kind not in _DELIMITERS:
        raise TableError(f"A stream is written as jsonl, csv or tsv; '{kind}' needs a file.")
    first: list[str] = []
    count, names = write_csv(_noting(rows, first), stream, _DELIMITERS[kind])
    if names[len(first) :]:
        raise TableError(
            f"The column '{names[len(first)]}' is not in the first row, so that the head of the "
            "stream lacks it: write to a file, or as jsonl."
        )
    return count


def _noting(rows: Iterable[Row], first: list[str]) -> Iterator[Row]:
    for count, row in enumerate(rows):
        if not count:
            first += row
        yield row


def _plain(path: Path) -> IO[bytes]:
    return path.open("wb", buffering=_BUFFER_BYTES)


def _zipped(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "wb", compresslevel=6))
