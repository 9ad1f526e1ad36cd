"""Draws shards from the store together with the bytes of their lines."""

from collections.abc import Iterable
from typing import NamedTuple

from batchyard.places.blobs import Blobs
from batchyard.places.store import Work
from batchyard.places.store.rows import Lease

__all__ = ["Turn", "draw"]


class Turn(NamedTuple):
    """So many shards of one batch and model."""

    batch_id: str
    model: str
    shards: int


def draw(
    work: Work, blobs: Blobs, worker: str, turns: Iterable[Turn], now: int
) -> list[tuple[Lease, bytes]]:
    """Lease shards and read them; what cannot be read is given back before the error is raised."""
    drawn: list[tuple[Lease, bytes]] = []
    leases: list[Lease] = []
    try:
        for turn in turns:
            leases = work.lease(worker, turn.batch_id, turn.model, turn.shards, now)
            if not leases:
                continue
            content = work.input_parts(leases[0].project_id, leases[0].input_file_id)
            assert content is not None, "a running batch keeps its input"
            (part,) = content.parts
            drawn += [
                (lease, blobs.read(part.blob, lease.start, lease.size_bytes)) for lease in leases
            ]
    except BaseException:
        held = {(one.batch_id, one.position) for one in leases} | {
            (one.batch_id, one.position) for one, _ in drawn
        }
        work.release(worker, held)
        raise
    return drawn
