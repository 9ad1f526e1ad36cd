"""What the API shows and takes: files and batches, always of one project."""

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from batchyard.places.store.failures import FailureRows
from batchyard.places.store.files import TERMINAL, insert_file
from batchyard.places.store.paging import page_of
from batchyard.places.store.promises import Promise, keep
from batchyard.places.store.quota import Quotas
from batchyard.places.store.results import ResultRows
from batchyard.places.store.rows import FileRow, NewBatch
from batchyard.places.store.schema import batches, files
from batchyard.places.store.standing import Standings
from batchyard.places.store.uploads import Uploads
from batchyard.places.store.usage import TALLIED, UsageRows, refuse_over_budget
from batchyard.wire.objects import (
    Batch,
    BatchErrors,
    BatchUsage,
    InputTokensDetails,
    OutputTokensDetails,
    RequestCounts,
)

__all__ = ["Records"]


class Records(Uploads, Quotas, Standings, ResultRows, UsageRows, FailureRows):
    """The rows behind the API's objects; another project's row is as good as none."""

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError,)

    def newest_time(self) -> int:
        """The newest time that any batch or file has."""
        times = [batches.c[f"{name}_at"] for name in _MOMENTS]
        with self._store.reading() as connection:
            rows = [
                connection.execute(select(*(func.max(time) for time in some))).one()
                for some in (times, [files.c.created_at])
            ]
        return max((time for row in rows for time in row if time is not None), default=0)

    # Batches

    def add_batch(self, new: NewBatch, promise: Promise | None = None) -> Batch:
        """Create a batch that waits to be validated."""
        with self._store.writing() as connection:
            batch = _insert_batch(connection, new)
            keep(connection, promise, batch)
            self._reach("create.before_commit")
        self._reach("create.after_commit")
        return batch

    def add_retry(
        self, new: NewBatch, file: FileRow, since: int, promise: Promise | None = None
    ) -> Batch:
        """Create a batch with an input file of its own.

        Whoever asks for the same again while it runs, or since then, is shown the same batch.
        """
        query = (
            select(*_BATCH)
            .join(files, files.c.id == batches.c.input_file_id)
            .where(batches.c.retry_of == new.retry_of, batches.c.project_id == new.project_id)
            .where(batches.c.completion_window == new.completion_window)
            .where(files.c.sha256 == file.sha256)
            .where(or_(batches.c.status.not_in(TERMINAL), batches.c.created_at >= since))
        )
        with self._store.writing() as connection:
            for row in connection.execute(query):
                if (row.metadata, row.budget) == (new.metadata, new.budget):
                    batch = _batch(row)
                    keep(connection, promise, batch)
                    return batch
            insert_file(connection, file)
            batch = _insert_batch(connection, new)
            keep(connection, promise, batch)
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
            rows, more = page_of(
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

    def pause_batch(self, project_id: str, batch_id: str, by: str, now: int) -> Batch | None:
        """Have a batch give out no more lines; one that ends or is paused is shown as it is."""
        with self._store.writing() as connection:
            connection.execute(
                update(batches)
                .where(batches.c.project_id == project_id, batches.c.id == batch_id)
                .where(batches.c.status.in_(("validating", "in_progress")))
                .where(batches.c.paused_at.is_(None))
                .values(paused_at=now, paused_by=by)
            )
            row = _one_batch(connection, project_id, batch_id)
        return _batch(row) if row else None

    def resume_batch(
        self, project_id: str, batch_id: str, budget: dict[str, float] | None = None
    ) -> Batch | None:
        """End the pause of a batch, whoever began it, perhaps with another budget.

        Raises OverBudgetError, and changes nothing, when the budget is used up.
        """
        values = {"budget": budget} if budget is not None else {}
        with self._store.writing() as connection:
            moved = connection.execute(
                update(batches)
                .where(batches.c.project_id == project_id, batches.c.id == batch_id)
                .where(batches.c.status.in_(("validating", "in_progress")))
                .values(paused_at=None, paused_by=None, **values)
            )
            if moved.rowcount:
                refuse_over_budget(connection, batch_id)
            row = _one_batch(connection, project_id, batch_id)
        return _batch(row) if row else None


_MOMENTS = (
    *("created", "in_progress", "finalizing", "completed"),
    *("failed", "expired", "cancelling", "cancelled"),
)
_BATCH = list(batches.c)
# Polled more than all else: made once.
_ONE_BATCH = select(*_BATCH).where(
    batches.c.project_id == bindparam("the_project"), batches.c.id == bindparam("the_batch")
)
_COUNTERS = ["total", *TALLIED, "open_shards"]


def _insert_batch(connection: Connection, new: NewBatch) -> Batch:
    connection.execute(
        insert(batches).values(
            **msgspec.structs.asdict(new),
            status="validating",
            **dict.fromkeys(_COUNTERS, 0),
        )
    )
    return _batch(_one_batch(connection, new.project_id, new.id))


def _one_batch(connection: Connection, project_id: str, batch_id: str) -> Any:
    return connection.execute(
        _ONE_BATCH, {"the_project": project_id, "the_batch": batch_id}
    ).first()


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
