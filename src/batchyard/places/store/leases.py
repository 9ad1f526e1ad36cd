"""Shards in workers' hands: whatever is written for one names the epoch of its lease."""

from collections.abc import Iterable
from operator import attrgetter

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    String,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.pieces import LAPSED, lapse_of, not_held, record
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
        asked = {"the_batch": batch_id, "the_worker": worker}
        with self._store.writing() as connection:
            batch = connection.execute(_BATCH_OF_LEASE, asked | {"now": now}).first()
            if batch is None:
                return []
            leased = connection.execute(_LEASE, asked | {"the_model": model, "most": most}).all()
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
            for row in sorted(leased, key=attrgetter("position"))
        ]

    def release(self, worker: str, held: Iterable[tuple[str, int]]) -> None:
        """Give back shards of which no line is under way."""
        with self._store.writing() as connection:
            for batch_id, position in held:
                mine = {"the_batch": batch_id, "the_position": position, "the_worker": worker}
                connection.execute(_GIVE_BACK, mine)

    def release_all_but(self, worker: str, held: Iterable[tuple[str, int]]) -> None:
        """Give back what the store says a worker has, and the worker does not know of."""
        with self._store.writing() as connection:
            rows = connection.execute(_ALL_OF, {"the_worker": worker})
            for batch_id, position in {tuple(row) for row in rows} - set(held):
                mine = {"the_batch": batch_id, "the_position": position, "the_worker": worker}
                connection.execute(_GIVE_BACK, mine)

    def take_back(self, worker: str, leases: Iterable[Lease]) -> set[tuple[str, int]]:
        """Go on with leases that were taken from a worker; tells which of them are lost to it.

        What nobody else has leased since is as it was left, and is this lease again.
        """
        lost = set()
        with self._store.writing() as connection:
            for lease in leases:
                again = lapse_of(lease.batch_id, lease.position, lease.epoch)
                taken = connection.execute(_TAKE_BACK, again | {"the_worker": worker})
                if not taken.rowcount:
                    lost.add((lease.batch_id, lease.position))
        return lost

    def halted(self, batch_ids: Iterable[str]) -> dict[str, bool]:
        """Which of these batches give out nothing more: True where one ends, False in a pause."""
        with self._store.reading() as connection:
            rows = connection.execute(_HALTED, {"ids": list(batch_ids)})
            return {row.id: bool(row.ending) for row in rows}

    def record(self, worker: str, piece: Recording) -> set[tuple[str, int]]:
        """Record a piece, or nothing: then the shards are told whose lease is lost.

        What comes late, from a worker that was given up, counts as long as nobody else was given
        its shard: it is paid for.
        """
        with self._store.writing() as connection:
            lost = {
                (mark.batch_id, mark.position)
                for mark in not_held(connection, worker, piece.shards)
                if not _lapsed(connection, mark)
            }
            if not lost:
                record(connection, piece)
            self._reach("record.before_commit")
        self._reach("record.after_commit")
        return lost


def _lapsed(connection: Connection, mark: ShardMark) -> bool:
    lease = lapse_of(mark.batch_id, mark.position, mark.epoch)
    return connection.execute(_LAPSED, lease).first() is not None


# Executed with each turn of each worker, so built once.
_THE_BATCH = bindparam("the_batch", type_=String)
_THE_WORKER = bindparam("the_worker", type_=String)
# The conditions under which a batch gives shards out.
_OPEN = (
    batches.c.status == "in_progress",
    batches.c.expires_at > bindparam("now", type_=BigInteger),
    batches.c.admitted_at.is_not(None),
    batches.c.paused_at.is_(None),
)
_BATCH_OF_LEASE = (
    select(
        batches.c.endpoint,
        batches.c.project_id,
        batches.c.expires_at,
        batches.c.line_id_prefix,
        batches.c.input_file_id,
        batches.c.model,
        batches.c.budget,
    )
    .where(batches.c.id == _THE_BATCH, *_OPEN)
    .where(select(workers.c.id).where(workers.c.id == _THE_WORKER).exists())
)
_FREE = (
    select(shards.c.position)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.model == bindparam("the_model"))
    .where(shards.c.worker.is_(None), shards.c.remaining > 0)
    .order_by(shards.c.position)
    .limit(bindparam("most", type_=Integer))
    .correlate(None)
)
_LEASE = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position.in_(_FREE))
    .where(shards.c.worker.is_(None))
    .values(worker=_THE_WORKER, epoch=shards.c.epoch + 1)
    .returning(*(shards.c[name] for name in Lease.__struct_fields__ if name in shards.c))
)
_GIVE_BACK = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position == bindparam("the_position"))
    .where(shards.c.worker == _THE_WORKER)
    .values(worker=None, epoch=shards.c.epoch + 1)
)
_ALL_OF = select(shards.c.batch_id, shards.c.position).where(shards.c.worker == _THE_WORKER)
_LAPSED = select(shards.c.position).where(LAPSED)
_TAKE_BACK = (
    update(shards)
    .where(LAPSED, shards.c.remaining > 0)
    .values(worker=_THE_WORKER, epoch=shards.c.epoch - 1)
)
_ENDING = batches.c.status != "in_progress"
_HALTED = (
    select(batches.c.id, _ENDING.label("ending"))
    .where(batches.c.id.in_(bindparam("ids", expanding=True)))
    .where(or_(_ENDING, batches.c.paused_at.is_not(None)))
)
_IS_FREE = case((shards.c.worker.is_(None), 1), else_=0)
_WAITING = (
    select(
        shards.c.batch_id,
        shards.c.model,
        func.sum(_IS_FREE).label("shards"),
        func.sum(1 - _IS_FREE).label("held"),
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .join(batches, batches.c.id == shards.c.batch_id)
    .where(*_OPEN)
    .where(shards.c.remaining > 0)
    .group_by(
        shards.c.batch_id,
        shards.c.model,
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .having(func.sum(_IS_FREE) > 0)
)
