"""Shards in workers' hands: whatever is written for one names the epoch of its lease."""

from collections.abc import Iterable, Mapping
from operator import attrgetter

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    LargeBinary,
    String,
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

    def lease(
        self,
        worker: str,
        batch_id: str,
        model: str,
        most: int,
        now: int,
        *,
        losses_since: int = 0,
        watched_from: int = 1 << 30,
    ) -> list[Lease]:
        """Lease up to `most` free shards of one batch and model, in input order.

        A worker that was given up gets none until it has signed on anew. Losses before
        `losses_since` are forgotten. The lines of a shard are taken to be at the upstream from now
        on, until `note_sent` knows better; not so where it has `watched_from` losses, for these
        are noted before they leave.
        """
        asked = {"the_batch": batch_id, "the_worker": worker}
        bounds = {"now": now, "since": losses_since, "watched_from": watched_from}
        with self._store.writing() as connection:
            batch = connection.execute(_BATCH_OF_LEASE, asked | {"now": now}).first()
            if batch is None:
                return []
            leased = connection.execute(
                _LEASE, asked | bounds | {"the_model": model, "most": most}
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
                priority=batch.priority,
                sequence=batch.sequence,
            )
            for row in sorted(leased, key=attrgetter("position"))
        ]

    def release(self, worker: str, held: Iterable[tuple[str, int]]) -> None:
        """Give back shards of which no line is under way."""
        with self._store.writing() as connection:
            for batch_id, position in held:
                mine = {"the_batch": batch_id, "the_position": position, "the_worker": worker}
                connection.execute(_GIVE_BACK, mine)

    def note_sent(self, worker: str, sent: Mapping[tuple[str, int], bool], now: int) -> None:
        """Note of shards in hand, by batch and position, whether lines of them are out."""
        rows = [
            {
                "the_worker": worker,
                "the_batch": batch_id,
                "the_position": position,
                "at": now if is_sent else None,
            }
            for (batch_id, position), is_sent in sent.items()
        ]
        with self._store.writing() as connection:
            connection.execute(_NOTE_SENT, rows)

    def note_trial(self, worker: str, lease: Lease, lines: bytes | None, now: int) -> bool:
        """Note which lines of a shard are about to be sent, as a mask; False when it is lost."""
        row = {
            "the_worker": worker,
            "the_batch": lease.batch_id,
            "the_position": lease.position,
            "the_epoch": lease.epoch,
            "the_lines": lines,
            "at": now if lines is not None else None,
        }
        with self._store.writing() as connection:
            return connection.execute(_NOTE_TRIAL, row).rowcount == 1

    def absolve(self, lease: Lease) -> None:
        """Begin the count of a shard's losses anew: the line that caused them is known."""
        named = {"the_batch": lease.batch_id, "the_position": lease.position}
        with self._store.writing() as connection:
            connection.execute(_ABSOLVE, named)

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
        batches.c.priority,
        batches.c.sequence,
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
_IS_REMEMBERED = shards.c.lost_at >= bindparam("since", type_=BigInteger)
_IS_WATCHED = and_(_IS_REMEMBERED, shards.c.losses >= bindparam("watched_from", type_=Integer))
_LEASE = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position.in_(_FREE))
    .where(shards.c.worker.is_(None))
    .values(
        worker=_THE_WORKER,
        epoch=shards.c.epoch + 1,
        losses=case((_IS_REMEMBERED, shards.c.losses), else_=0),
        suspects=case((_IS_REMEMBERED, shards.c.suspects), else_=None),
        sent_at=case((_IS_WATCHED, None), else_=bindparam("now", type_=BigInteger)),
        trial=None,
    )
    .returning(*(shards.c[name] for name in Lease.__struct_fields__ if name in shards.c))
)
_GIVE_BACK = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position == bindparam("the_position"))
    .where(shards.c.worker == _THE_WORKER)
    .values(worker=None, epoch=shards.c.epoch + 1, sent_at=None, trial=None)
)
_MINE = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position == bindparam("the_position"))
    .where(shards.c.worker == _THE_WORKER)
)
_AT = bindparam("at", type_=BigInteger)
_NOTE_SENT = _MINE.values(sent_at=_AT)
_NOTE_TRIAL = _MINE.where(shards.c.epoch == bindparam("the_epoch")).values(
    trial=bindparam("the_lines", type_=LargeBinary), sent_at=_AT
)
_ABSOLVE = (
    update(shards)
    .where(shards.c.batch_id == _THE_BATCH, shards.c.position == bindparam("the_position"))
    .values(losses=0, lost_at=None, suspects=None)
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
        batches.c.project_id,
        shards.c.model,
        func.sum(_IS_FREE).label("shards"),
        func.sum(_IS_FREE * shards.c.remaining).label("lines"),
        func.sum(shards.c.remaining).label("lines_left"),
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .join(batches, batches.c.id == shards.c.batch_id)
    .where(*_OPEN)
    .where(shards.c.remaining > 0)
    .group_by(
        shards.c.batch_id,
        batches.c.project_id,
        shards.c.model,
        batches.c.expires_at,
        batches.c.sequence,
        batches.c.priority,
    )
    .having(func.sum(_IS_FREE) > 0)
)
