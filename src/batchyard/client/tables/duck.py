"""Tables by DuckDB: Parquet, its own files, and statements over any of them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from batchyard.client.tables.errors import TableError

__all__ = [
    "parquet_rows",
    "parquet_types",
    "query_rows",
    "query_types",
    "quoted",
    "table_rows",
    "table_types",
]

_ROWS = 1_000

Row = dict[str, Any]


def query_rows(
    statement: str,
    parameters: Mapping[str, Any] | None = None,
    file: str | None = None,
    threads: int | None = None,
) -> Iterator[Row]:
    """The rows that a statement gives, of a file of DuckDB's or of none."""
    with _connect(file, threads) as connection:
        found = connection.execute(statement, dict(parameters or {}) or None)
        names = [one[0] for one in found.description or ()]
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            raise TableError(f"The statement gives the column '{twice}' more than once.")
        while rows := found.fetchmany(_ROWS):
            for values in rows:
                yield dict(zip(names, values, strict=True))


def query_types(
    statement: str, parameters: Mapping[str, Any] | None = None, file: str | None = None
) -> dict[str, str]:
    """DuckDB's types of the columns that a statement gives."""
    with _connect(file) as connection:
        found = connection.execute(f"describe {statement}", dict(parameters or {}) or None)
        return {row[0]: row[1] for row in found.fetchall()}


def parquet_rows(name: str) -> Iterator[Row]:
    """The rows of a Parquet file, or of all that a pattern names."""
    return query_rows("from read_parquet($name)", {"name": name}, threads=1)


def parquet_types(name: str) -> dict[str, str]:
    """DuckDB's types of the columns of a Parquet file."""
    return query_types("from read_parquet($name)", {"name": name})


def table_rows(path: Path, table: str | None) -> Iterator[Row]:
    """The rows of a table of a file of DuckDB's; without a name, of the only one."""
    return query_rows(f"from {quoted(_chosen(path, table))}", None, os.fspath(path), 1)


def table_types(path: Path, table: str | None) -> dict[str, str]:
    """DuckDB's types of the columns of a table."""
    return query_types(f"from {quoted(_chosen(path, table))}", None, os.fspath(path))


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


def _chosen(path: Path, table: str | None) -> str:
    if table is not None:
        return table
    with _connect(os.fspath(path)) as connection:
        names = [row[0] for row in connection.execute("show tables").fetchall()]
    if len(names) != 1:
        raise TableError(f"{path.name} has the tables {', '.join(names) or '(none)'}: name one.")
    return str(names[0])


def _connect(file: str | None, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    # Names in a statement mean tables and files, never variables of this process.
    config: dict[str, Any] = {"python_enable_replacements": False}
    if threads is not None:
        # Each more holds groups of rows of its own, and who only reads on waits for Python.
        config["threads"] = threads
    if file is None:
        return duckdb.connect(config=config)
    try:
        return duckdb.connect(file, read_only=True, config=config)
    except duckdb.ConnectionException:
        # This process has the file open already, in its own way.
        return duckdb.connect(file)
