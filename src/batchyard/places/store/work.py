"""What the flow takes and gives back: due courses, leased shards, recorded pieces.

Guards: a status moves only from the status it is expected in, and whatever is written for a
shard names the epoch of its lease. A write that comes too late changes nothing and says so.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.pieces import holds, record
from batchyard.places.store.records import content_of, insert_file
from batchyard.places.store.rows import (
    Content,
    Course,
    FileRow,
    Lease,
    NewShard,
    Recording,
    SegmentMark,
    Unanswered,
    Waiting,
)
from batchyard.places.store.schema import Store, batches, segments, shards, workers
from batchyard.wire.objects import BatchErrors, BatchStatus

__all__ = ["Work"]


class Work:
    """The rows that the flow moves."""

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError,)

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    # Workers

    def sign_on(self, worker: str, alive_until: float) -> None:
        """Enter a worker that holds nothing; times are of the steady clock."""
        with self._store.writing() as connection:
            _forsake(connection, [worker])
            connection.execute(insert(workers).values(id=worker, alive_until=alive_until))

    def renew(self, worker: str, alive_until: float) -> bool:
        """Prolong a worker's leases; False when it was buried meanwhile and holds none."""
        with self._store.writing() as connection:
            return (
                connection.execute(
                    update(workers).where(workers.c.id == worker).values(alive_until=alive_until)
                ).rowcount
                == 1
            )

    def bury(self, now: float, *, also: Sequence[str] = ()) -> int:
        """Free what dead workers held: those whose time is over and those named."""
        with self._store.writing() as connection:
            dead = or_(workers.c.alive_until <= now, workers.c.id.in_(also))
            return _bury(connection, dead)

    def bury_all(self) -> int:
        """Free what any worker held; for a server that knows it starts alone."""
        with self._store.writing() as connection:
            return _bury(connection, workers.c.id.is_not(None))

    def first_death_due(self) -> float | None:
        """When the next worker is given up unless it renews; on the steady clock."""
        with self._store.reading() as connection:
            return connection.execute(select(func.min(workers.c.alive_until))).scalar()

    def sign_off(self, worker: str) -> None:
        """Give back all a worker holds, without counting it as a loss."""
        with self._store.writing() as connection:
            connection.execute(update(shards).where(shards.c.worker == worker).values(worker=None))
            _free_courses(connection, batches.c.steward == worker)
            connection.execute(delete(workers).where(workers.c.id == worker))

    # Courses

    def courses_due(self, now: int) -> list[Course]:
        """Batches whose next step nobody takes yet; held shards keep a batch from its end."""
        held = (
            select(shards.c.batch_id)
            .where(shards.c.batch_id == batches.c.id, shards.c.worker.is_not(None))
            .exists()
        )
        ends = or_(
            batches.c.status == "cancelling",
            batches.c.status == "finalizing",
            and_(
                batches.c.status == "in_progress",
                or_(batches.c.open_shards == 0, batches.c.expires_at <= now),
            ),
        )
        query = (
            select(*_COURSE)
            .where(or_(batches.c.status == "validating", and_(ends, ~held)))
            .where(batches.c.steward.is_(None))
            .order_by(batches.c.sequence)
        )
        with self._store.reading() as connection:
            return [_course(row) for row in connection.execute(query)]

    def take_course(self, batch_id: str, worker: str) -> bool:
        """Take a batch in hand for its next step; False when another worker was quicker."""
        with self._store.writing() as connection:
            return _moved(
                connection,
                update(batches)
                .where(batches.c.id == batch_id, batches.c.steward.is_(None))
                .where(select(workers.c.id).where(workers.c.id == worker).exists())
                .values(steward=worker),
            )

    def leave_course(self, batch_id: str, worker: str) -> None:
        """Let a batch go after its step, or when the step could not be taken."""
        with self._store.writing() as connection:
            _free_courses(connection, and_(batches.c.id == batch_id, batches.c.steward == worker))

    def next_expiry(self, now: int) -> int | None:
        """When the next running batch reaches the end of its window."""
        with self._store.reading() as connection:
            return connection.execute(
                select(func.min(batches.c.expires_at)).where(
                    batches.c.status == "in_progress", batches.c.expires_at > now
                )
            ).scalar()

    def input_of(self, course: Course, now: int) -> Content | None:
        """The input of a batch, even if its file was deleted meanwhile."""
        with self._store.reading() as connection:
            return content_of(connection, course.project_id, course.input_file_id, now)

    def input_parts(self, project_id: str, file_id: str) -> Content | None:
        """The input of a batch that runs."""
        with self._store.reading() as connection:
            return content_of(connection, project_id, file_id, 0)

    def fail(self, batch_id: str, errors: BatchErrors, now: int) -> bool:
        """Refuse a batch in validation."""
        with self._store.writing() as connection:
            return _moved(
                connection,
                update(batches)
                .where(batches.c.id == batch_id, batches.c.status == "validating")
                .values(
                    status="failed",
                    failed_at=now,
                    errors=msgspec.json.encode(errors),
                    steward=None,
                ),
            )

    def populate(
        self, course: Course, model: str | None, new: Sequence[NewShard], now: int
    ) -> bool:
        """Give a validated batch its shards; one being cancelled gets them to be settled."""
        values: dict[str, Any] = {
            "model": model,
            "total": sum(shard.remaining for shard in new),
            "open_shards": len(new),
            "steward": None,
        }
        if course.status == "validating":
            values |= {"status": "in_progress", "in_progress_at": now}
        with self._store.writing() as connection:
            moved = _moved(
                connection,
                update(batches)
                .where(batches.c.id == course.id, batches.c.status == course.status)
                .where(batches.c.total == 0)
                .values(**values),
            )
            if moved:
                connection.execute(insert(shards), _shard_rows(course.id, new))
            self._reach("populate.before_commit")
        self._reach("populate.after_commit")
        return moved

    def begin_finalizing(self, course: Course, now: int) -> bool:
        """Close a running batch to further results."""
        with self._store.writing() as connection:
            return _moved(
                connection,
                update(batches)
                .where(batches.c.id == course.id, batches.c.status == "in_progress")
                .values(status="finalizing", finalizing_at=now),
            )

    def unanswered(self, batch_id: str) -> list[Unanswered]:
        """The shards of a batch that lack an answer, in input order."""
        with self._store.reading() as connection:
            rows = connection.execute(
                select(*(shards.c[name] for name in Unanswered.__struct_fields__))
                .where(shards.c.batch_id == batch_id, shards.c.remaining > 0)
                .order_by(shards.c.position)
            )
            return [Unanswered(**row._mapping) for row in rows]

    def segments(self, batch_id: str) -> list[SegmentMark]:
        """All that is recorded of a batch, in the order of its writing."""
        with self._store.reading() as connection:
            rows = connection.execute(
                select(segments).where(segments.c.batch_id == batch_id).order_by(segments.c.blob)
            )
            return [SegmentMark(**row._mapping) for row in rows]

    def finish(
        self, course: Course, end: BatchStatus, new_files: dict[str, FileRow], now: int
    ) -> bool:
        """End a batch: status, file ids and file rows at once; `new_files` by column name."""
        stamp = {"completed": "completed_at", "expired": "expired_at", "cancelled": "cancelled_at"}
        with self._store.writing() as connection:
            moved = _moved(
                connection,
                update(batches)
                .where(batches.c.id == course.id, batches.c.status == course.status)
                .values(
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
                for table in (shards, segments):
                    connection.execute(delete(table).where(table.c.batch_id == course.id))
            self._reach("finish.before_commit")
        self._reach("finish.after_commit")
        return moved

    # Shards

    def waiting(self, now: int) -> list[Waiting]:
        """Running batches with free shards, by batch and model."""
        free = case((shards.c.worker.is_(None), 1), else_=0)
        query = (
            select(
                shards.c.batch_id,
                shards.c.model,
                func.sum(free).label("shards"),
                func.sum(1 - free).label("held"),
                batches.c.expires_at,
                batches.c.sequence,
            )
            .join(batches, batches.c.id == shards.c.batch_id)
            .where(batches.c.status == "in_progress", batches.c.expires_at > now)
            .where(shards.c.remaining > 0)
            .group_by(shards.c.batch_id, shards.c.model, batches.c.expires_at, batches.c.sequence)
            .having(func.sum(free) > 0)
        )
        with self._store.reading() as connection:
            return [Waiting(**row._mapping) for row in connection.execute(query)]

    def lease(self, worker: str, batch_id: str, model: str, most: int, now: int) -> list[Lease]:
        """Lease up to `most` free shards of one batch and model, in input order.

        A worker that was given up gets none until it has signed on anew.
        """
        free = (
            select(shards.c.position)
            .where(shards.c.batch_id == batch_id, shards.c.model == model)
            .where(shards.c.worker.is_(None), shards.c.remaining > 0)
            .order_by(shards.c.position)
            .limit(most)
        )
        with self._store.writing() as connection:
            batch = connection.execute(
                select(*_LEASE_OF_BATCH)
                .where(batches.c.id == batch_id, batches.c.status == "in_progress")
                .where(batches.c.expires_at > now)
                .where(select(workers.c.id).where(workers.c.id == worker).exists())
            ).first()
            if batch is None:
                return []
            positions = list(connection.execute(free).scalars())
            mine = and_(shards.c.batch_id == batch_id, shards.c.position.in_(positions))
            connection.execute(
                update(shards).where(mine).values(worker=worker, epoch=shards.c.epoch + 1)
            )
            rows = connection.execute(
                select(*_LEASE_OF_SHARD).where(mine).order_by(shards.c.position)
            ).all()
        self._reach("lease.after_commit")
        return [
            Lease(
                **row._mapping,
                endpoint=batch.endpoint,
                project_id=batch.project_id,
                expires_at=batch.expires_at,
                line_id_prefix=batch.line_id_prefix,
                input_file_id=batch.input_file_id,
                mixed=batch.model is None,
            )
            for row in rows
        ]

    def release(self, worker: str, held: Iterable[tuple[str, int]]) -> None:
        """Give back shards of which no line is under way."""
        with self._store.writing() as connection:
            for batch_id, position in held:
                connection.execute(
                    update(shards)
                    .where(shards.c.batch_id == batch_id, shards.c.position == position)
                    .where(shards.c.worker == worker)
                    .values(worker=None)
                )

    def stopping(self, batch_ids: Iterable[str]) -> list[str]:
        """Which of these batches no longer run."""
        with self._store.reading() as connection:
            return list(
                connection.execute(
                    select(batches.c.id).where(
                        batches.c.id.in_(list(batch_ids)), batches.c.status != "in_progress"
                    )
                ).scalars()
            )

    def record(self, worker: str, piece: Recording) -> set[tuple[str, int]]:
        """Record a piece, or nothing: then the shards are told whose lease is lost."""
        with self._store.writing() as connection:
            lost = {
                (mark.batch_id, mark.position)
                for mark in piece.shards
                if not holds(connection, worker, mark.batch_id, mark.position, mark.epoch)
            }
            if not lost:
                record(connection, piece)
            self._reach("record.before_commit")
        self._reach("record.after_commit")
        return lost


_COURSE = [batches.c[name] for name in Course.__struct_fields__ if name not in ("populated",)]
_LEASE_OF_BATCH = [
    batches.c.endpoint,
    batches.c.project_id,
    batches.c.expires_at,
    batches.c.line_id_prefix,
    batches.c.input_file_id,
    batches.c.model,
]
_LEASE_OF_SHARD = [shards.c[name] for name in Lease.__struct_fields__ if name in shards.c]


def _course(row: Any) -> Course:
    return Course(**row._mapping, populated=row.total > 0)


def _shard_rows(batch_id: str, new: Sequence[NewShard]) -> list[dict[str, Any]]:
    return [
        msgspec.structs.asdict(shard)
        | {"batch_id": batch_id, "position": position, "epoch": 0, "losses": 0}
        for position, shard in enumerate(new)
    ]


def _bury(connection: Connection, dead: Any) -> int:
    ids = list(connection.execute(select(workers.c.id).where(dead)).scalars())
    return _forsake(connection, ids) if ids else 0


def _forsake(connection: Connection, ids: Sequence[str]) -> int:
    """Free all that these workers held, and strike them off; tells how many shards it were."""
    lost = connection.execute(
        update(shards)
        .where(shards.c.worker.in_(ids))
        .values(worker=None, epoch=shards.c.epoch + 1, losses=shards.c.losses + 1)
    ).rowcount
    _free_courses(connection, batches.c.steward.in_(ids))
    connection.execute(delete(workers).where(workers.c.id.in_(ids)))
    return lost


def _free_courses(connection: Connection, which: Any) -> None:
    connection.execute(update(batches).where(which).values(steward=None))


def _moved(connection: Connection, statement: Any) -> bool:
    return connection.execute(statement).rowcount == 1
