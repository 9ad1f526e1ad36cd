"""How a piece is recorded: masks, counts and segment marks in one transaction."""

import msgspec
from sqlalchemy import Connection, bindparam, case, insert, select, update

from batchyard.places.store.rows import Recording, SegmentMark
from batchyard.places.store.schema import batches, segments, shards

__all__ = ["holds", "record"]

_TALLY = [
    "completed",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "calls",
]


def holds(connection: Connection, worker: str, batch_id: str, position: int, epoch: int) -> bool:
    """Whether a worker has this very lease."""
    found = connection.execute(_HOLDER, {"the_batch": batch_id, "the_position": position}).first()
    return found is not None and (found.worker, found.epoch) == (worker, epoch)


_HOLDER = select(shards.c.worker, shards.c.epoch).where(
    shards.c.batch_id == bindparam("the_batch"), shards.c.position == bindparam("the_position")
)


def record(connection: Connection, piece: Recording) -> None:
    """Record a piece whose leases are all held."""
    connection.execute(
        update(shards)
        .where(
            shards.c.batch_id == bindparam("the_batch"),
            shards.c.position == bindparam("the_position"),
        )
        .values(
            answered=bindparam("the_mask"),
            remaining=bindparam("the_rest"),
            losses=0,
            worker=case((bindparam("the_rest") == 0, None), else_=shards.c.worker),
        ),
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
    for tally in piece.tallies:
        added = {name: batches.c[name] + getattr(tally, name) for name in _TALLY}
        connection.execute(
            update(batches)
            .where(batches.c.id == tally.batch_id)
            .values(open_shards=batches.c.open_shards - done.get(tally.batch_id, 0), **added)
        )


def _move_mark(connection: Connection, segment: SegmentMark) -> None:
    reached = {"size_bytes": segment.size_bytes, "lines": segment.lines, "sha256": segment.sha256}
    moved = connection.execute(
        update(segments)
        .where(segments.c.batch_id == segment.batch_id, segments.c.blob == segment.blob)
        .where(segments.c.size_bytes <= segment.size_bytes)
        .values(**reached)
    ).rowcount
    if not moved:
        connection.execute(insert(segments).values(**msgspec.structs.asdict(segment)))
