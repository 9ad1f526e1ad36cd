"""Tables of SQLite's files, written in one transaction."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from batchyard.client.tables.errors import TableError
from batchyard.client.tables.textfiles import plain

__all__ = ["write_sqlite"]

_BATCH_ROWS = 1_000
_LARGE_BITS = 63
_STORED = frozenset({str, float, bytes, bool, type(None)})
_NAMES: dict[type, str] = {str: "TEXT", int: "INTEGER", float: "REAL", bytes: "BLOB"}

Row = dict[str, Any]


def write_sqlite(rows: Iterable[Row], path: Path, *, table: str, replace: bool) -> int:
    """Write a table; lists and objects as JSON. The other tables of the file stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    many = iter(rows)
    first = list(islice(many, _BATCH_ROWS))
    if not first:
        raise TableError("There are no columns: a table needs one row at least.")
    with _transaction(path) as connection:
        _make_room(connection, path, table, replace=replace)
        kinds = _kinds(first)
        columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in kinds.items())
        connection.execute(f"create table {_quoted(table)} ({columns})")
        return _fill(connection, table, dict.fromkeys(kinds), chain(first, many))


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        try:
            yield connection
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")


def _make_room(connection: sqlite3.Connection, path: Path, table: str, *, replace: bool) -> None:
    asked = "select 1 from sqlite_master where type = 'table' and lower(name) = lower(?)"
    if connection.execute(asked, (table,)).fetchone() is None:
        return
    if not replace:
        raise TableError(f"{path.name} has a table '{table}' already: replace it, or name another.")
    connection.execute(f"drop table {_quoted(table)}")


def _kinds(rows: list[Row]) -> dict[str, str]:
    """The columns, each with the kind that all of its first values have; else with none."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = seen.setdefault(str(name), set())
            if value is not None:
                kinds.add(_NAMES.get(type(_stored(value)), ""))
    return {name: kinds.pop() if len(kinds) == 1 else "" for name, kinds in seen.items()}


def _fill(
    connection: sqlite3.Connection, table: str, names: dict[str, None], rows: Iterator[Row]
) -> int:
    count = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        for row in batch:
            for name in row:
                if name not in names:
                    names[name] = None
                    connection.execute(f"alter table {_quoted(table)} add column {_quoted(name)}")
        marks = ", ".join("?" * len(names))
        connection.executemany(
            f"insert into {_quoted(table)} values ({marks})",  # noqa: S608 (quoted)
            ([_stored(row.get(name)) for name in names] for row in batch),
        )
        count += len(batch)
    return count


def _stored(value: Any) -> Any:
    if type(value) in _STORED:
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _LARGE_BITS else str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return json.dumps(value, ensure_ascii=False, default=plain)
    found = plain(value)
    return _stored(found) if type(found) is not type(value) else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
