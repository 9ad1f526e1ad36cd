"""The tables, and how a database is opened and brought to the newest of them.

Rows are O(batches + shards): a request line never has a row of its own. What a shard has
answered is a bit mask in the shard's row, and the answers themselves are bytes in segments.
"""

import subprocess
import sys
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    select,
)

__all__ = [
    "NEWEST",
    "Store",
    "batches",
    "files",
    "keys",
    "metadata",
    "open_store",
    "segments",
    "shards",
    "workers",
]

# The newest migration; a test holds it against the migrations folder.
NEWEST = "0001"

metadata = MetaData()

# SQLite gives rowids only to a column that is INTEGER to the letter.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("secret_sha256", String, nullable=False, unique=True),
    Column("hint", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

files = Table(
    "files",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    # [[blob, size_bytes], ...]: the content is these blobs, one after the other.
    Column("parts", JSON, nullable=False),
    # What validation learned while the upload flowed; only batch input files have it.
    Column("digest", LargeBinary),
    Index("files_by_project", "project_id", "sequence"),
    Index("files_by_expiry", "expires_at"),
)

batches = Table(
    "batches",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("input_file_id", String, nullable=False),
    Column("completion_window", String, nullable=False),
    Column("status", String, nullable=False),
    Column("model", String),
    Column("errors", LargeBinary),
    Column("output_file_id", String),
    Column("error_file_id", String),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("in_progress_at", BigInteger),
    Column("finalizing_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("expired_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    # Requests sent upstream, and those of them that were sent again after a worker was lost.
    Column("calls", BigInteger, nullable=False),
    Column("metadata", JSON(none_as_null=True)),
    Column("output_expires_after_seconds", BigInteger),
    Column("line_id_prefix", String, nullable=False),
    Column("open_shards", Integer, nullable=False),
    # The worker that validates or finalizes; the transitions themselves are compare-and-set.
    Column("steward", String),
    Index("batches_by_project", "project_id", "sequence"),
    Index("batches_by_status", "status", "sequence"),
    Index("batches_by_input", "input_file_id"),
)

shards = Table(
    "shards",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("first_index", BigInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    # Bit i set: line first_index + i has its answer recorded.
    Column("answered", LargeBinary, nullable=False),
    Column("worker", String),
    Column("epoch", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Index("shards_by_worker", "worker"),
    Index("shards_open", "batch_id", "model", "worker", "remaining"),
)

segments = Table(
    "segments",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("blob", String, primary_key=True),
    Column("kind", String, nullable=False),
    # Bytes and lines up to here are recorded; what the blob holds beyond is not.
    Column("size_bytes", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("alive_until", Float, nullable=False),
)


class Store:
    """An open database; every method is one transaction, and blocks until it is over."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads, and disturbs nobody."""
        return self._engine.execution_options(reading=True).begin()

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that may write; it waits for its turn at its beginning."""
        return self._engine.begin()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_store(url: str) -> Store:
    """Open a database by SQLAlchemy URL and bring its tables to the newest version.

    On SQLite every commit is synced before it returns (WAL, synchronous=FULL).
    """
    engine = create_engine(url, pool_size=4, max_overflow=4)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    if _version(engine) != NEWEST:
        # Alembic takes half a second and 20 MB to load: a process of its own pays for it,
        # once in the life of a database.
        subprocess.run([sys.executable, "-m", "batchyard.places.store.upgrade", url], check=True)
    return Store(engine)


def _version(engine: Engine) -> str | None:
    if not inspect(engine).has_table("alembic_version"):
        return None
    versions = Table("alembic_version", MetaData(), Column("version_num", String))
    with engine.connect() as connection:
        return connection.execute(select(versions.c.version_num)).scalar()


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


def _begin_sqlite(connection: Connection) -> None:
    # A reader that later writes would fail where another has written between: writers say so.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
