"""What the API shows and takes: files and batches, always of one project."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Row, Table, and_, exists, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.rows import Content, FileRow, NewBatch, Part
from batchyard.places.store.schema import batches, files, segments
from batchyard.wire.objects import (
    Batch,
    BatchErrors,
    BatchUsage,
    File,
    InputTokensDetails,
    OutputTokensDetails,
    RequestCounts,
)

__all__ = ["Records", "content_of"]

# A batch in one of these will never read its input or write results again.
TERMINAL = ("failed", "completed", "expired", "cancelled")


class Records:
    """The rows behind the API's objects; another project's row is as good as none."""

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError,)

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    # Files

    def add_file(self, file: FileRow) -> File:
        """Name bytes that are durable already."""
        with self._store.writing() as connection:
            insert_file(connection, file)
            self._reach("file.before_commit")
        self._reach("file.after_commit")
        return File(
            id=file.id,
            bytes=file.size_bytes,
            created_at=file.created_at,
            expires_at=file.expires_at,
            filename=file.filename,
            purpose=file.purpose,
        )

    def file(self, project_id: str, file_id: str, now: int) -> File | None:
        """One file, unless it is deleted or has expired."""
        with self._store.reading() as connection:
            row = connection.execute(
                select(*_FILE).where(files.c.id == file_id, *_live(project_id, now))
            ).first()
        return _file(row) if row else None

    def content(self, project_id: str, file_id: str, now: int) -> Content | None:
        """Where the bytes of one live file are."""
        with self._store.reading() as connection:
            found = content_of(connection, project_id, file_id, now)
        return found if found and not found.gone else None

    def files(
        self,
        project_id: str,
        now: int,
        *,
        after: str | None,
        limit: int,
        ascending: bool,
        purpose: str | None,
    ) -> tuple[tuple[File, ...], bool]:
        """One page of live files, and whether there are more; an unknown `after` gives none."""
        query = select(*_FILE).where(*_live(project_id, now))
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        with self._store.reading() as connection:
            rows, more = _page(
                connection, query, files, project_id, after=after, limit=limit, ascending=ascending
            )
        return tuple(_file(row) for row in rows), more

    def delete_file(self, project_id: str, file_id: str, now: int) -> bool:
        """Hide a file for good; its bytes go when no running batch needs them any more."""
        with self._store.writing() as connection:
            return (
                connection.execute(
                    update(files)
                    .where(files.c.id == file_id, *_live(project_id, now))
                    .values(deleted_at=now)
                ).rowcount
                == 1
            )

    def discarded(self, now: int) -> list[tuple[str, tuple[str, ...]]]:
        """Deleted and expired files that nothing reads any more: their ids and blobs."""
        needed = exists().where(
            batches.c.input_file_id == files.c.id, batches.c.status.not_in(TERMINAL)
        )
        with self._store.reading() as connection:
            rows = connection.execute(
                select(files.c.id, files.c.parts)
                .where(or_(files.c.deleted_at.is_not(None), files.c.expires_at <= now))
                .where(~needed)
            ).all()
        return [(row.id, tuple(part[0] for part in row.parts)) for row in rows]

    def named_blobs(self) -> set[str]:
        """All blobs that a file or a segment names."""
        with self._store.reading() as connection:
            parts = connection.execute(select(files.c.parts)).scalars()
            named = {part[0] for file in parts for part in file}
            return named | set(connection.execute(select(segments.c.blob)).scalars())

    def forget_file(self, file_id: str) -> None:
        """Drop the row of a file whose bytes are gone."""
        with self._store.writing() as connection:
            connection.execute(files.delete().where(files.c.id == file_id))

    # Batches

    def add_batch(self, new: NewBatch) -> Batch:
        """Create a batch that waits to be validated."""
        with self._store.writing() as connection:
            connection.execute(
                insert(batches).values(
                    **msgspec.structs.asdict(new),
                    status="validating",
                    **dict.fromkeys(_COUNTERS, 0),
                )
            )
            batch = _batch(_one_batch(connection, new.project_id, new.id))
            self._reach("create.before_commit")
        self._reach("create.after_commit")
        return batch

    def batch(self, project_id: str, batch_id: str) -> Batch | None:
        """One batch."""
        with self._store.reading() as connection:
            row = _one_batch(connection, project_id, batch_id)
        return _batch(row) if row else None

    def batches(
        self, project_id: str, *, after: str | None, limit: int
    ) -> tuple[tuple[Batch, ...], bool]:
        """One page of batches, newest first, and whether there are more."""
        query = select(*_BATCH).where(batches.c.project_id == project_id)
        with self._store.reading() as connection:
            rows, more = _page(
                connection, query, batches, project_id, after=after, limit=limit, ascending=False
            )
        return tuple(_batch(row) for row in rows), more

    def cancel_batch(self, project_id: str, batch_id: str, now: int) -> Batch | None:
        """Ask a batch to stop; one that ends or has ended is shown as it is."""
        with self._store.writing() as connection:
            connection.execute(
                update(batches)
                .where(batches.c.project_id == project_id, batches.c.id == batch_id)
                .where(batches.c.status.in_(("validating", "in_progress")))
                .values(status="cancelling", cancelling_at=now)
            )
            row = _one_batch(connection, project_id, batch_id)
        return _batch(row) if row else None


_FILE = [
    files.c.id,
    files.c.size_bytes,
    files.c.created_at,
    files.c.expires_at,
    files.c.filename,
    files.c.purpose,
]
_BATCH = list(batches.c)
_COUNTERS = [
    "total",
    "completed",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "calls",
    "open_shards",
]


def insert_file(connection: Connection, file: FileRow) -> None:
    """Name the bytes of a file within a transaction."""
    values = msgspec.structs.asdict(file)
    values["parts"] = [[part.blob, part.size_bytes] for part in file.parts]
    connection.execute(insert(files).values(**values))


def content_of(connection: Connection, project_id: str, file_id: str, now: int) -> Content | None:
    """Where the bytes of a file are, even of one that is gone but not yet forgotten."""
    row = connection.execute(
        select(files).where(files.c.id == file_id, files.c.project_id == project_id)
    ).first()
    if row is None:
        return None
    return Content(
        file_id=row.id,
        filename=row.filename,
        purpose=row.purpose,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        created_at=row.created_at,
        parts=tuple(Part(*part) for part in row.parts),
        digest=row.digest,
        gone=row.deleted_at is not None or (row.expires_at is not None and row.expires_at <= now),
    )


def _live(project_id: str, now: int) -> Sequence[Any]:
    return (
        files.c.project_id == project_id,
        files.c.deleted_at.is_(None),
        or_(files.c.expires_at.is_(None), files.c.expires_at > now),
    )


def _page(
    connection: Connection,
    query: Any,
    table: Table,
    project_id: str,
    *,
    after: str | None,
    limit: int,
    ascending: bool,
) -> tuple[Sequence[Row[Any]], bool]:
    sequence: Column[int] = table.c.sequence
    if after is not None:
        start = connection.execute(
            select(sequence).where(and_(table.c.id == after, table.c.project_id == project_id))
        ).scalar()
        if start is None:
            return (), False
        query = query.where(sequence > start if ascending else sequence < start)
    order = sequence.asc() if ascending else sequence.desc()
    rows = connection.execute(query.order_by(order).limit(limit + 1)).all()
    return rows[:limit], len(rows) > limit


def _one_batch(connection: Connection, project_id: str, batch_id: str) -> Any:
    return connection.execute(
        select(*_BATCH).where(batches.c.project_id == project_id, batches.c.id == batch_id)
    ).first()


def _file(row: Any) -> File:
    return File(
        id=row.id,
        bytes=row.size_bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
    )


def _batch(row: Any) -> Batch:
    return Batch(
        id=row.id,
        endpoint=row.endpoint,
        model=row.model,
        errors=msgspec.json.decode(row.errors, type=BatchErrors) if row.errors else None,
        input_file_id=row.input_file_id,
        completion_window=row.completion_window,
        status=row.status,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
        created_at=row.created_at,
        in_progress_at=row.in_progress_at,
        expires_at=row.expires_at,
        finalizing_at=row.finalizing_at,
        completed_at=row.completed_at,
        failed_at=row.failed_at,
        expired_at=row.expired_at,
        cancelling_at=row.cancelling_at,
        cancelled_at=row.cancelled_at,
        request_counts=RequestCounts(row.total, row.completed, row.failed),
        usage=_usage(row) if row.in_progress_at is not None else None,
        metadata=row.metadata,
    )


def _usage(row: Any) -> BatchUsage:
    return BatchUsage(
        input_tokens=row.input_tokens,
        input_tokens_details=InputTokensDetails(row.cached_tokens),
        output_tokens=row.output_tokens,
        output_tokens_details=OutputTokensDetails(row.reasoning_tokens),
        total_tokens=row.total_tokens,
    )
