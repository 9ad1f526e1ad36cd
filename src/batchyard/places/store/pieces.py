"""How a piece is recorded: masks, counts and segment marks in one transaction."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, case, insert, select, update

from batchyard.places.store.failures import add_failures
from batchyard.places.store.installation import count_named
from batchyard.places.store.rows import BatchTally, Recording, SegmentMark, ShardMark
from batchyard.places.store.schema import batches, segments, shards
from batchyard.places.store.usage import TALLIED, add_usage, halt_over_budget

__all__ = ["LAPSED", "lapse_of", "not_held", "record"]


def not_held(connection: Connection, worker: str, marks: Sequence[ShardMark]) -> list[ShardMark]:
    """The marks of which a worker does not have this very lease."""
    held = {tuple(row) for row in connection.execute(_HELD, {"the_worker": worker})}
    return [mark for mark in marks if (mark.batch_id, mark.position, mark.epoch) not in held]


def lapse_of(batch_id: str, position: int, epoch: int) -> dict[str, object]:
    """The lease of which `LAPSED` is asked; each lease and each end of one is an epoch."""
    return {"the_batch": batch_id, "the_position": position, "the_epoch": epoch + 1}


# Executed for each piece, so built once.
_THE_SHARD = and_(
    shards.c.batch_id == bindparam("the_batch"), shards.c.position == bindparam("the_position")
)
_HELD = select(shards.c.batch_id, shards.c.position, shards.c.epoch).where(
    shards.c.worker == bindparam("the_worker")
)
# Whether a lease was ended for its holder, and the batch runs and has given it to nobody.
LAPSED = and_(
    _THE_SHARD,
    shards.c.worker.is_(None),
    shards.c.epoch == bindparam("the_epoch"),
    select(batches.c.id)
    .where(batches.c.id == bindparam("the_batch"), batches.c.status == "in_progress")
    .exists(),
)
_MARK = (
    update(shards)
    .where(_THE_SHARD)
    .values(
        answered=bindparam("the_mask"),
        remaining=bindparam("the_rest"),
        worker=case((bindparam("the_rest") == 0, None), else_=shards.c.worker),
        sent_at=case((bindparam("the_rest") == 0, None), else_=shards.c.sent_at),
    )
)
_COUNT = (
    update(batches)
    .where(batches.c.id == bindparam("the_batch"))
    .values(
        open_shards=batches.c.open_shards - bindparam("shards_done"),
        moved_at=bindparam("now"),
        **{name: batches.c[name] + bindparam(f"more_{name}") for name in TALLIED},
    )
    .returning(batches.c.budget)
)


def record(connection: Connection, piece: Recording) -> None:
    """Record a piece whose leases are all held."""
    connection.execute(
        _MARK,
        [
            {
                "the_batch": mark.batch_id,
                "the_position": mark.position,
                "the_mask": mark.answered,
                "the_rest": mark.remaining,
            }
            for mark in piece.shards
        ],
    )
    for segment in piece.segments:
        _move_mark(connection, segment)
    done: dict[str, int] = {}
    for mark in piece.shards:
        done[mark.batch_id] = done.get(mark.batch_id, 0) + (mark.remaining == 0)
    for batch_id, shards_done in done.items():
        tallies = [tally for tally in piece.tallies if tally.batch_id == batch_id]
        budget = _count(connection, batch_id, tallies, shards_done, piece.now)
        for tally in tallies:
            add_usage(connection, tally, piece.now)
        if budget is not None:
            halt_over_budget(connection, batch_id, piece.now)
    for batch_id, counted in piece.failures.items():
        add_failures(connection, batch_id, counted)


def _count(
    connection: Connection, batch_id: str, tallies: list[BatchTally], shards_done: int, now: int
) -> Any:
    """Add to the counts of a batch; returns its budget."""
    more: dict[str, object] = {
        f"more_{name}": sum(getattr(tally, name) for tally in tallies) for name in TALLIED
    }
    more |= {"the_batch": batch_id, "shards_done": shards_done, "now": now}
    return connection.execute(_COUNT, more).scalar()


def _move_mark(connection: Connection, segment: SegmentMark) -> None:
    row = msgspec.structs.asdict(segment)
    named = {f"the_{name}": value for name, value in row.items()}
    if not connection.execute(_MOVE, named).rowcount:
        connection.execute(_BEGIN, row)
        count_named(connection)


_MOVE = (
    update(segments)
    .where(segments.c.batch_id == bindparam("the_batch_id"))
    .where(segments.c.blob == bindparam("the_blob"))
    .where(segments.c.size_bytes <= bindparam("the_size_bytes"))
    .values({name: bindparam(f"the_{name}") for name in ("size_bytes", "lines", "sha256")})
)
_BEGIN = insert(segments)
