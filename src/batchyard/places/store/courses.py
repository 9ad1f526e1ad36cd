"""The steps of a batch's course: each moves a status from the one it is expected in, or nothing.

Each also asks, in its transaction, that the batch is in the hands of the worker that takes the
step and that this worker is entered as living: what a worker has written that was given up
meanwhile gets no name.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.files import content_of, insert_file
from batchyard.places.store.opening import Store
from batchyard.places.store.outbox import tell
from batchyard.places.store.quota import admit_waiting, enqueue, lacking, release
from batchyard.places.store.rows import (
    AskedModel,
    Content,
    Course,
    FileRow,
    NewShard,
    Outlook,
    SegmentMark,
    Shortage,
    Unanswered,
)
from batchyard.places.store.schema import batches, segments, shards, workers
from batchyard.wire.objects import BatchErrors, BatchStatus

__all__ = ["Courses"]


class Courses:
    """Due courses, and their transitions."""

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    def look(self, now: int) -> Outlook:
        """Batches whose next step nobody takes yet, and the next moments that matter.

        Held shards keep a batch from its end.
        """
        with self._store.reading() as connection:
            return Outlook(
                tuple(_course(row) for row in connection.execute(_DUE, {"now": now})),
                connection.execute(_NEXT_EXPIRY, {"now": now}).scalar(),
                connection.execute(_NEXT_DEATH).scalar(),
            )

    def take_course(self, batch_id: str, worker: str) -> bool:
        """Take a batch in hand for its next step; False when another worker was quicker."""
        with self._store.writing() as connection:
            return _moved(connection, _TAKE, {"the_batch": batch_id, "the_worker": worker})

    def left_behind(self, worker: str, but: Sequence[str]) -> Sequence[str]:
        """The batches in the hands of a worker, other than those it works on."""
        with self._store.reading() as connection:
            held = connection.execute(_IN_HANDS, {"the_worker": worker}).scalars()
            return [id for id in held if id not in but]

    def leave_course(self, batch_id: str, worker: str) -> None:
        """Let a batch go after its step, or when the step could not be taken."""
        with self._store.writing() as connection:
            connection.execute(_LEAVE, {"the_batch": batch_id, "the_worker": worker})

    def input_of(self, course: Course, now: int) -> Content | None:
        """The input of a batch, even if its file was deleted meanwhile."""
        with self._store.reading() as connection:
            return content_of(connection, course.project_id, course.input_file_id, now)

    def input_parts(self, project_id: str, file_id: str) -> Content | None:
        """The input of a batch that runs."""
        with self._store.reading() as connection:
            return content_of(connection, project_id, file_id, 0)

    def fail(self, course: Course, worker: str, errors: BatchErrors, now: int) -> bool:
        """Refuse a batch in validation."""
        with self._store.writing() as connection:
            moved = _moved(
                connection,
                _step_of(course, worker, "validating").values(**_failed(errors, now)),
            )
            if moved:
                tell(connection, "batch.failed", course.id, now)
        return moved

    def stop(self, course: Course, worker: str, errors: BatchErrors, now: int) -> bool:
        """End a batch whose counts cannot be vouched for; the rows of what it has are kept.

        False where they are no longer those of the course.
        """
        counted = and_(batches.c.completed == course.completed, batches.c.failed == course.failed)
        with self._store.writing() as connection:
            moved = _moved(
                connection,
                _step_of(course, worker).where(counted).values(**_failed(errors, now)),
            )
            if moved:
                release(connection, course.id)
                admit_waiting(connection, course.project_id, now)
                tell(connection, "batch.failed", course.id, now)
        return moved

    def populate(
        self,
        course: Course,
        worker: str,
        model: str | None,
        new: Sequence[NewShard],
        now: int,
        *,
        asked: Sequence[AskedModel] = (),
        may_wait: bool = True,
    ) -> bool | tuple[Shortage, ...]:
        """Give a validated batch its shards; one being cancelled gets them to be settled.

        With them it gets the tokens it asks for, or waits until they are free. What it lacks is
        told, and nothing done, when it may not wait or would wait for ever.
        """
        values: dict[str, Any] = {
            "model": model,
            "total": sum(shard.remaining for shard in new),
            "open_shards": len(new),
            "steward": None,
        }
        if course.status == "validating":
            values |= {"status": "in_progress", "in_progress_at": now}
        with self._store.writing() as connection:
            if course.status == "validating":
                short = lacking(connection, course.project_id, asked, alone=may_wait)
                if short:
                    return short
            moved = _moved(
                connection,
                _step_of(course, worker).where(batches.c.total == 0).values(**values),
            )
            if moved:
                connection.execute(_CUT, _shard_rows(course.id, new))
                enqueue(connection, course.id, course.project_id, asked)
                admit_waiting(connection, course.project_id, now)
            self._reach("populate.before_commit")
        self._reach("populate.after_commit")
        return moved

    def begin_finalizing(self, course: Course, worker: str, now: int) -> bool:
        """Close a running batch to further results.

        False where one has come since its course was read, or may still come.
        """
        counted = and_(batches.c.completed == course.completed, batches.c.failed == course.failed)
        with self._store.writing() as connection:
            return _moved(
                connection,
                _step_of(course, worker, "in_progress")
                .where(counted, ~_IS_HELD)
                .values(status="finalizing", finalizing_at=now),
            )

    def unanswered(self, batch_id: str) -> list[Unanswered]:
        """The shards of a batch that lack an answer, in input order."""
        with self._store.reading() as connection:
            rows = connection.execute(_UNANSWERED, {"the_batch": batch_id})
            return [Unanswered(**row._mapping) for row in rows]

    def segments(self, batch_id: str) -> list[SegmentMark]:
        """All that is recorded of a batch, in the order of its writing."""
        with self._store.reading() as connection:
            rows = connection.execute(_SEGMENTS, {"the_batch": batch_id})
            return [SegmentMark(**row._mapping) for row in rows]

    def finish(
        self,
        course: Course,
        worker: str,
        end: BatchStatus,
        new_files: dict[str, FileRow],
        now: int,
    ) -> bool:
        """End a batch: status, file ids and file rows at once; `new_files` by column name."""
        stamp = {"completed": "completed_at", "expired": "expired_at", "cancelled": "cancelled_at"}
        with self._store.writing() as connection:
            moved = _moved(
                connection,
                _step_of(course, worker).values(
                    status=end,
                    steward=None,
                    open_shards=0,
                    **{stamp[end]: now},
                    **{column: file.id for column, file in new_files.items()},
                ),
            )
            if moved:
                for file in new_files.values():
                    insert_file(connection, file)
                for drop in _DROP:
                    connection.execute(drop, {"the_batch": course.id})
                release(connection, course.id)
                admit_waiting(connection, course.project_id, now)
                tell(connection, f"batch.{end}", course.id, now)
            self._reach("finish.before_commit")
        self._reach("finish.after_commit")
        return moved


_COURSE = [batches.c[name] for name in Course.__struct_fields__ if name not in ("populated",)]

# The statuses in which a batch takes steps.
_MOVING = ("validating", "in_progress", "finalizing", "cancelling")

# Asked with each turn of each worker, so built once.
_NOW = bindparam("now", type_=BigInteger)
_IS_HELD = (
    select(shards.c.batch_id)
    .where(shards.c.batch_id == batches.c.id, shards.c.worker.is_not(None))
    .exists()
)
_ENDS = or_(
    batches.c.status == "cancelling",
    batches.c.status == "finalizing",
    and_(
        batches.c.status == "in_progress",
        or_(batches.c.open_shards == 0, batches.c.expires_at <= _NOW),
    ),
)
_DUE = (
    select(*_COURSE)
    .where(or_(batches.c.status == "validating", and_(_ENDS, ~_IS_HELD)))
    .where(batches.c.steward.is_(None))
    .order_by(batches.c.sequence)
)
_NEXT_EXPIRY = select(func.min(batches.c.expires_at)).where(
    batches.c.status == "in_progress", batches.c.expires_at > _NOW
)
_NEXT_DEATH = select(func.min(workers.c.alive_until))
_THE_BATCH = bindparam("the_batch", type_=String)
_THE_WORKER = bindparam("the_worker", type_=String)
_TAKE = (
    update(batches)
    .where(batches.c.id == _THE_BATCH, batches.c.steward.is_(None))
    .where(batches.c.status.in_(_MOVING))
    .where(select(workers.c.id).where(workers.c.id == _THE_WORKER).exists())
    .values(steward=_THE_WORKER)
)
_LEAVE = (
    update(batches)
    .where(batches.c.id == _THE_BATCH, batches.c.steward == _THE_WORKER)
    .values(steward=None)
)
_IN_HANDS = select(batches.c.id).where(
    batches.c.steward == _THE_WORKER, batches.c.status.in_(_MOVING)
)
_CUT = insert(shards)
_UNANSWERED = (
    select(*(shards.c[name] for name in Unanswered.__struct_fields__))
    .where(shards.c.batch_id == _THE_BATCH, shards.c.remaining > 0)
    .order_by(shards.c.position)
)
_SEGMENTS = select(segments).where(segments.c.batch_id == _THE_BATCH).order_by(segments.c.blob)
_DROP = [delete(table).where(table.c.batch_id == _THE_BATCH) for table in (shards, segments)]


def _course(row: Any) -> Course:
    return Course(**row._mapping, populated=row.total > 0)


def _shard_rows(batch_id: str, new: Sequence[NewShard]) -> list[dict[str, Any]]:
    return [
        msgspec.structs.asdict(shard)
        | {"batch_id": batch_id, "position": position, "epoch": 0, "losses": 0}
        for position, shard in enumerate(new)
    ]


def _step_of(course: Course, worker: str, status: BatchStatus | None = None) -> Update:
    """A step of this worker from the status of the course, as it was read, or another."""
    lives = select(workers.c.id).where(workers.c.id == worker).exists()
    return update(batches).where(
        batches.c.id == course.id,
        batches.c.status == (status or course.status),
        batches.c.steward == worker,
        lives,
    )


def _failed(errors: BatchErrors, now: int) -> dict[str, Any]:
    return {
        "status": "failed",
        "failed_at": now,
        "errors": msgspec.json.encode(errors),
        "steward": None,
    }


def _moved(connection: Connection, statement: Any, of: dict[str, str] | None = None) -> bool:
    return connection.execute(statement, of).rowcount == 1
