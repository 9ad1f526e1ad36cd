"""Tables of SQLite's files: made in a file of their own, and brought over in one transaction."""

import json
import os
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
_BUSY_SECONDS = 60
_LARGE_BITS = 63
_STORED = frozenset({str, float, bytes, bool, type(None)})
_NAMES: dict[type, str] = {str: "TEXT", int: "INTEGER", float: "REAL", bytes: "BLOB"}

Row = dict[str, Any]


def write_sqlite(rows: Iterable[Row], path: Path, *, table: str, replace: bool) -> int:
    """Write a table; lists and objects as JSON. The other tables of the file stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        # Whoever reads from this file or writes to it goes on meanwhile; rows may be of it.
        with closing(_open(path)) as connection:
            _check_room(connection, path, table, replace=replace)
    made = path.with_name(f".{path.name}.{os.getpid()}.spool")
    made.unlink(missing_ok=True)
    try:
        with closing(_open(made)) as connection:
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            count = _make(connection, iter(rows))
        with closing(_open(path)) as connection:
            connection.execute("attach ? as spool", (os.fspath(made),))
            with _transaction(connection):
                _check_room(connection, path, table, replace=replace)
                _bring_over(connection, table)
        return count
    finally:
        made.unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _check_room(connection: sqlite3.Connection, path: Path, table: str, *, replace: bool) -> None:
    asked = "select 1 from main.sqlite_master where type = 'table' and lower(name) = lower(?)"
    if not replace and connection.execute(asked, (table,)).fetchone() is not None:
        raise TableError(f"{path.name} has a table '{table}' already: replace it, or name another.")


def _bring_over(connection: sqlite3.Connection, table: str) -> None:
    """Make the table by the same statement as the one in the spool, and copy its rows in order."""
    asked = "select sql from spool.sqlite_master where name = 'made'"
    made: str = connection.execute(asked).fetchone()[0]
    name = f"main.{_quoted(table)}"
    connection.execute(f"drop table if exists {name}")
    connection.execute(f"create table {name} {made[made.index('(') :]}")
    copy = f"insert into {name} select * from spool.made order by rowid"  # noqa: S608 (quoted)
    connection.execute(copy)


def _make(connection: sqlite3.Connection, rows: Iterator[Row]) -> int:
    first = list(islice(rows, _BATCH_ROWS))
    if not first:
        raise TableError("There are no columns: a table needs one row at least.")
    kinds = _kinds(first)
    columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in kinds.items())
    connection.execute("begin")
    connection.execute(f"create table made ({columns})")
    count = _fill(connection, dict.fromkeys(kinds), chain(first, rows))
    connection.execute("commit")
    return count


def _kinds(rows: list[Row]) -> dict[str, str]:
    """The columns, each with the kind that all of its first values have; else with none."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = seen.setdefault(str(name), set())
            if value is not None:
                kinds.add(_NAMES.get(type(_stored(value)), ""))
    return {name: kinds.pop() if len(kinds) == 1 else "" for name, kinds in seen.items()}


def _fill(connection: sqlite3.Connection, names: dict[str, None], rows: Iterator[Row]) -> int:
    count = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        for row in batch:
            for name in row:
                if name not in names:
                    names[name] = None
                    connection.execute(f"alter table made add column {_quoted(name)}")
        marks = ", ".join("?" * len(names))
        connection.executemany(
            f"insert into made values ({marks})",  # noqa: S608 (marks)
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
