"""Tables written by DuckDB: Parquet, and tables of its own files."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from batchyard.client.tables.duck import quoted
from batchyard.client.tables.errors import TableError
from batchyard.client.tables.shapes import Shape
from batchyard.client.tables.spool import Spool, spooled

__all__ = ["write_duckdb", "write_parquet"]

Row = dict[str, Any]
Types = Callable[[], Mapping[str, str]]

# Its own limit for a line is 16 MiB; the room for lines is taken many times over.
_LINE_BYTES = 1 << 24
# A group of rows is held in memory as a whole: of short rows 122,880, of long ones fewer.
_GROUP_ROWS = (2_048, 122_880)
_GROUP_BYTES = 1 << 26
# Read as the texts that stand for them, and only then made what they are.
_AS_TEXT = re.compile(r"\b(?:BLOB|JSON)\b")


def write_parquet(rows: Iterable[Row], path: Path, types: Types) -> int:
    """Write a Parquet file; `types` tells, after the last row, those that are known."""
    with spooled(rows, path) as spool:
        statement, parameters = _selected(spool, types())
        how = f"format parquet, compression zstd, row_group_size {_group_rows(spool)}"
        with _connect(":memory:", path) as connection:
            connection.execute(f"copy ({statement}) to {_text(path)} ({how})", parameters)
        return spool.rows


def write_duckdb(
    rows: Iterable[Row], path: Path, types: Types, *, table: str, replace: bool
) -> int:
    """Write a table of a file of DuckDB's; its other tables stay."""
    with _connect(os.fspath(path), path) as connection:
        there = connection.execute(
            "from duckdb_tables() where lower(table_name) = lower($name)", {"name": table}
        ).fetchall()
    if there and not replace:
        raise TableError(f"{path.name} has a table '{table}' already: replace it, or name another.")
    with spooled(rows, path) as spool:
        # Rows and types may be of this very file, which is open in one way only.
        statement, parameters = _selected(spool, types())
        made = f"create or replace table {quoted(table)} as {statement}"
        with _connect(os.fspath(path), path) as connection:
            connection.execute(made, parameters)
        return spool.rows


def _selected(spool: Spool, types: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The statement that reads a spool as what its columns are."""
    for name in () if spool.rows else types:
        spool.shapes[name] = Shape()
    if not spool.shapes:
        raise TableError("There are no columns: a table needs one row at least.")
    columns, read = [], {}
    for index, (name, shape) in enumerate(spool.shapes.items()):
        wanted = types.get(name) or shape.name
        read[f"c{index}"] = _AS_TEXT.sub("VARCHAR", wanted)
        columns.append(f"cast(c{index} as {wanted}) as {quoted(name)}")
    parameters = {
        "path": os.fspath(spool.path),
        "columns": read,
        "most": max(_LINE_BYTES, spool.longest + 1),
    }
    source = (
        "read_json($path, format = 'newline_delimited', "
        "columns = $columns, maximum_object_size = $most)"
    )
    return f"from {source} select {', '.join(columns)}", parameters


def _group_rows(spool: Spool) -> int:
    least, most = _GROUP_ROWS
    return max(least, min(most, _GROUP_BYTES * spool.rows // max(1, spool.path.stat().st_size)))


def _connect(file: str, beside: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        "python_enable_replacements": False,
        # Each thread more takes as much memory again, and waits for this process in any case.
        "threads": 1,
        "temp_directory": os.fspath(beside.with_name(f".{beside.name}.{os.getpid()}.swap")),
    }
    try:
        return duckdb.connect(file, config=config)
    except duckdb.ConnectionException:
        # This process has the file open already, in its own way.
        return duckdb.connect(file)


def _text(path: Path) -> str:
    return "'" + os.fspath(path).replace("'", "''") + "'"
