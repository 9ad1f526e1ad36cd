"""How a database is opened and brought to the newest tables."""

import errno
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, PoolProxiedConnection, create_engine, event
from sqlalchemy.exc import DBAPIError

from batchyard.places.store.founding import NEWEST, found, version_of

__all__ = [
    "Store",
    "StoreUnusableError",
    "engine_of",
    "in_words",
    "is_full",
    "is_locked",
    "open_store",
]

# Postgres' SQLSTATE disk_full.
_DISK_FULL = "53100"
# Where a connection says how its next transaction begins.
_BEGIN = "batchyard.begin"
_BEGIN_WRITE, _BEGIN_AT_ONCE = "BEGIN IMMEDIATE", "BEGIN IMMEDIATE, or not at all"
# How long a writer waits for others; and after one that waited in vain.
_WAIT_SECONDS, _MOMENT_MS = 15.0, 50


class StoreUnusableError(Exception):
    """A database cannot be opened as it is; the message says why and what to do."""


class Store:
    """An open database; every method is one transaction, and blocks until it is over.

    Who writes waits for others for a while; once one has waited in vain, those after it wait only
    for a moment, until one gets through again: who locks the database for long is waited for once.
    """

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError, OSError)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Taken and put back as they are, as many as there were threads at once: a pool would make
        # each anew around what it keeps, and reset it.
        self._idle: list[Connection] = []
        self._writes: set[object] = set()
        self._locked = False
        self._file = _file_of(engine)
        # Called with the fault of each write that failed, and with None after each that did not.
        self.told: Callable[[Exception | None], object] = lambda _fault: None

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads, and disturbs nobody."""
        return self._transaction("BEGIN")

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that may write; it waits for its turn at its beginning.

        Raises OSError where another file has taken the place of the database: what is written to
        one that was removed would be acknowledged and lost.
        """
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
        begun = False
        try:
            with self._transaction(_BEGIN_AT_ONCE if self._locked else _BEGIN_WRITE) as connection:
                begun, self._locked = True, False
                self._writes.add(mark)
                self._file.check()
                yield connection
                self._file.check()
        except (DBAPIError, OSError) as fault:
            if not begun and is_locked(fault):
                self._locked = True
            self.told(fault)
            raise
        finally:
            self._writes.discard(mark)
        self.told(None)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            self._file.check()
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


class _File:
    """The file of a database, which is to stay where it is as long as the store is open."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise OSError where the path leads to another file than at first, or to none."""
        if self._path is None:
            return
        try:
            found = Path(self._path).stat()
        except FileNotFoundError:
            if self._identity is None:
                return
            raise FileNotFoundError(
                errno.ENOENT, "The database was removed while it was in use", self._path
            ) from None
        identity = found.st_dev, found.st_ino
        if self._identity is None:
            self._identity = identity
        elif self._identity != identity:
            raise FileNotFoundError(
                errno.ENOENT, "Another file has taken the place of the database", self._path
            )


def _file_of(engine: Engine) -> _File:
    is_file = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
    return _File(engine.url.database if is_file else None)


def engine_of(url: str, wait_seconds: float = _WAIT_SECONDS) -> Engine:
    """What makes connections to a database; each waits so long for others that write.

    On SQLite every commit is synced before it returns (WAL, synchronous=FULL), and a transaction
    begins where it is said to, also before a statement that changes tables.
    """
    # What a statement was given is in no error text: it may be a secret.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_prepare_sqlite, int(wait_seconds * 1_000)))
        engine.dialect.do_begin = _begin_sqlite  # type: ignore[method-assign,assignment]
    return engine


def open_store(url: str) -> Store:
    """Open a database by SQLAlchemy URL and bring its tables to the newest version.

    Raises StoreUnusableError where that cannot be done.
    """
    store = Store(engine_of(url))
    try:
        _bring_up(store, url)
    except DBAPIError as fault:
        store.close()
        raise StoreUnusableError(in_words(fault, url)) from fault
    except BaseException:
        store.close()
        raise
    return store


def _bring_up(store: Store, url: str) -> None:
    with store.reading() as connection:
        version = version_of(connection)
    if version is None:
        with store.writing() as connection:
            # Another process may have come first.
            if (version := version_of(connection)) is None:
                found(connection)
                version = NEWEST
    if version > NEWEST:
        raise StoreUnusableError(
            f"{_name_of(url)} was written by a newer Batchyard (its tables are at version "
            f"{version}, this program knows {NEWEST}). Install that one, or a newer one."
        )
    if version != NEWEST:
        # Alembic takes half a second and 20 MB to load: a process of its own pays for it,
        # once in the life of a version.
        done = subprocess.run(
            [sys.executable, "-m", "batchyard.places.store.upgrade", url],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            lines = [line for line in done.stderr.splitlines() if "Error: " in line]
            raise StoreUnusableError(
                f"The tables of {_name_of(url)} could not be brought from version {version} to "
                f"{NEWEST}, and are as they were: {(lines or [why])[-1]}"
            )


def in_words(fault: BaseException, url: str = "") -> str:
    """What a fault of the database means, and what to do, on one line."""
    if isinstance(fault, StoreUnusableError):
        return str(fault)
    name = _name_of(url)
    code = getattr(getattr(fault, "orig", None), "sqlite_errorcode", 0) or 0
    if is_full(fault):
        return f"The disk of {name} is full. Make room, and try again."
    advice = _ADVICE.get(code & 0xFF)
    if advice is not None:
        return advice.format(name=name)
    return f"{name} cannot be used: {getattr(fault, 'orig', fault)}."


def _name_of(url: str) -> str:
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else "The database"


def is_locked(fault: BaseException) -> bool:
    """Whether others have held the database for longer than was waited."""
    code = getattr(getattr(fault, "orig", None), "sqlite_errorcode", 0) or 0
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


_ADVICE = {
    sqlite3.SQLITE_BUSY: "{name} is locked by another program, such as a backup. Wait until it is "
    "done, or end it.",
    sqlite3.SQLITE_LOCKED: "{name} is locked by another program, such as a backup. Wait until it "
    "is done, or end it.",
    sqlite3.SQLITE_NOTADB: "{name} is no database, or is damaged. Put back a copy of it, with its "
    "-wal file.",
    sqlite3.SQLITE_CORRUPT: "{name} is damaged. Put back a copy of it, with its -wal file.",
    sqlite3.SQLITE_READONLY: "{name} cannot be written. Is its disk or its folder read-only?",
    sqlite3.SQLITE_CANTOPEN: "{name} cannot be opened. May this user read and write it and its "
    "folder?",
    sqlite3.SQLITE_IOERR: "The disk of {name} fails. Look at the system's log.",
    sqlite3.SQLITE_PERM: "{name} may not be read or written by this user.",
}


def is_full(fault: BaseException) -> bool:
    """Whether a fault of a disk or of the database says that there is no room left."""
    if isinstance(fault, DBAPIError):
        full = getattr(fault.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return full or getattr(fault.orig, "sqlstate", None) == _DISK_FULL
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)


def _prepare_sqlite(wait_ms: int, connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={wait_ms}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-4096",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: PoolProxiedConnection) -> None:
    # In the place of an event: those of a connection cost something with each statement.
    begin, cursor = connection.info.get(_BEGIN, "BEGIN"), connection.cursor()
    if begin != _BEGIN_AT_ONCE:
        cursor.execute(begin)
        return
    (wait_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    cursor.execute(f"PRAGMA busy_timeout={_MOMENT_MS}")
    try:
        cursor.execute(_BEGIN_WRITE)
    finally:
        cursor.execute(f"PRAGMA busy_timeout={wait_ms}")
