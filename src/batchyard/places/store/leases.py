"""Shards in workers' hands: whatever is written for one names the epoch of its lease."""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.pieces import holds, lapsed, record
from batchyard.places.store.rows import Lease, Recording, ShardMark, Waiting
from batchyard.places.store.schema import batches, shards, workers

__all__ = ["Leases"]


class Leases:
    """Shards that wait, are leased, given back, and answered piece by piece."""

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    def waiting(self, now: int) -> list[Waiting]:
        """Running batches with free shards, by batch and model."""
        with self._store.reading() as connection:
            return [Waiting(**row._mapping) for row in connection.execute(_WAITING, {"now": now})]

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
                .where(batches.c.id == batch_id, *_open(now))
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
                budgeted=batch.budget is not None,
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
                    .values(worker=None, epoch=shards.c.epoch + 1)
                )

    def take_back(self, worker: str, leases: Iterable[Lease]) -> set[tuple[str, int]]:
        """Go on with leases that were taken from a worker; tells which of them are lost to it.

        What nobody else has leased since is as it was left, and is this lease again.
        """
        lost = set()
        with self._store.writing() as connection:
            for lease in leases:
                mine = lapsed(lease.batch_id, lease.position, lease.epoch)
                taken = connection.execute(
                    update(shards)
                    .where(mine, shards.c.remaining > 0)
                    .values(worker=worker, epoch=lease.epoch)
                )
                if not taken.rowcount:
                    lost.add((lease.batch_id, lease.position))
        return lost

    def halted(self, batch_ids: Iterable[str]) -> dict[str, bool]:
        """Which of these batches give out nothing more: True where one ends, False in a pause."""
        ending = batches.c.status != "in_progress"
        with self._store.reading() as connection:
            rows = connection.execute(
                select(batches.c.id, ending.label("ending"))
                .where(batches.c.id.in_(list(batch_ids)))
                .where(or_(ending, batches.c.paused_at.is_not(None)))
            )
            return {row.id: bool(row.ending) for row in rows}

    def record(self, worker: str, piece: Recording) -> set[tuple[str, int]]:
        """Record a piece, or nothing: then the shards are told whose lease is lost.

        What comes late, from a worker that was given up, counts as long as nobody else was given
        its shard: it is paid for.
        """
        with self._store.writing() as connection:
            lost = {
                (mark.batch_id, mark.position)
                for mark in piece.shards
                if not _may_write(connection, worker, mark)
            }
            if not lost:
                record(connection, piece)
            self._reach("record.before_commit")
        self._reach("record.after_commit")
        return lost


def _may_write(connection: Connection, worker: str, mark: ShardMark) -> bool:
    lease = (mark.batch_id, mark.position, mark.epoch)
    if holds(connection, worker, *lease):
        return True
    return connection.execute(select(shards.c.position).where(lapsed(*lease))).first() is not None


_LEASE_OF_BATCH = [
    batches.c.endpoint,
    batches.c.project_id,
    batches.c.expires_at,
    batches.c.line_id_prefix,
    batches.c.input_file_id,
    batches.c.model,
    batches.c.budget,
]

_LEASE_OF_SHARD = [shards.c[name] for name in Lease.__struct_fields__ if name in shards.c]


def _open(now: int | ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a batch gives shards out."""
    return (
        batches.c.status == "in_progress",
        batches.c.expires_at > now,
        batches.c.admitted_at.is_not(None),
        batches.c.paused_at.is_(None),
    )


# Asked with each turn of each worker, so built once.
_FREE = case((shards.c.worker.is_(None), 1), else_=0)
_WAITING = (
    select(
        shards.c.batch_id,
        shards.c.model,
        func.sum(_FREE).label("shards"),
        func.sum(1 - _FREE).label("held"),
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .join(batches, batches.c.id == shards.c.batch_id)
    .where(*_open(bindparam("now", type_=BigInteger)))
    .where(shards.c.remaining > 0)
    .group_by(
        shards.c.batch_id,
        shards.c.model,
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .having(func.sum(_FREE) > 0)
)
