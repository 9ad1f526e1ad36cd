"""How a database is opened and brought to the newest tables."""

import errno
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, PoolProxiedConnection, create_engine, event
from sqlalchemy.exc import DBAPIError

from batchyard.places.store.founding import NEWEST, found, version_of

__all__ = ["Store", "is_full", "open_store"]

# Postgres' SQLSTATE disk_full.
_DISK_FULL = "53100"
# Where a connection says how its next transaction begins.
_BEGIN = "batchyard.begin"


class Store:
    """An open database; every method is one transaction, and blocks until it is over."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Taken and put back as they are, as many as there were threads at once: a pool would make
        # each anew around what it keeps, and reset it.
        self._idle: list[Connection] = []
        self._writes: set[object] = set()

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads, and disturbs nobody."""
        return self._transaction("BEGIN")

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that may write; it waits for its turn at its beginning."""
        # A reader that later writes would fail where another has written between: writers say so.
        return self._write()

    @property
    def writes(self) -> Set[object]:
        """The transactions that write now; one that stays holds up all other writers."""
        return frozenset(self._writes)

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        mark = object()
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection:
                self._writes.add(mark)
                yield connection
        finally:
            self._writes.discard(mark)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            connection.info[_BEGIN] = begin
            with connection.begin():
                yield connection
        except BaseException:
            # Nobody knows what state it is in.
            connection.close()
            raise
        self._idle.append(connection)


def open_store(url: str) -> Store:
    """Open a database by SQLAlchemy URL and bring its tables to the newest version.

    On SQLite every commit is synced before it returns (WAL, synchronous=FULL).
    """
    # What a statement was given is in no error text: it may be a secret.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        engine.dialect.do_begin = _begin_sqlite  # type: ignore[method-assign,assignment]
    store = Store(engine)
    with store.reading() as connection:
        version = version_of(connection)
    if version is None:
        with store.writing() as connection:
            # Another process may have come first.
            if (version := version_of(connection)) is None:
                found(connection)
                version = NEWEST
    if version != NEWEST:
        # Alembic takes half a second and 20 MB to load: a process of its own pays for it,
        # once in the life of a version.
        subprocess.run([sys.executable, "-m", "batchyard.places.store.upgrade", url], check=True)
    return store


def is_full(fault: BaseException) -> bool:
    """Whether a fault of a disk or of the database says that there is no room left."""
    if isinstance(fault, DBAPIError):
        full = getattr(fault.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return full or getattr(fault.orig, "sqlstate", None) == _DISK_FULL
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=15000",
        "foreign_keys=ON",
        "cache_size=-4096",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: PoolProxiedConnection) -> None:
    # In the place of an event: those of a connection cost something with each statement.
    connection.cursor().execute(connection.info.get(_BEGIN, "BEGIN"))
