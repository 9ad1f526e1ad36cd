"""Draws shards from the store together with the bytes of their lines."""

from collections.abc import Iterable
from typing import NamedTuple

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.contents import span_of, verify
from batchyard.places.log import log
from batchyard.places.store import Work
from batchyard.places.store.rows import Lease

__all__ = ["Turn", "draw"]


class Turn(NamedTuple):
    """So many shards of one batch and model."""

    batch_id: str
    model: str
    shards: int


def draw(
    work: Work,
    blobs: Blobs,
    worker: str,
    turns: Iterable[Turn],
    now: int,
    *,
    losses_since: int,
    watched_from: int,
) -> list[tuple[Lease, bytes | None]]:
    """Lease shards and read them; None is what a damaged or vanished input left of them.

    When the disk fails they are given back before the error is raised.
    """
    drawn: list[tuple[Lease, bytes | None]] = []
    leases: list[Lease] = []
    try:
        for turn in turns:
            leases = work.lease(
                worker,
                turn.batch_id,
                turn.model,
                turn.shards,
                now,
                losses_since=losses_since,
                watched_from=watched_from,
            )
            if not leases:
                continue
            content = work.input_parts(leases[0].project_id, leases[0].input_file_id)
            assert content is not None, "a running batch keeps its input"
            try:
                verify(blobs, content)
                drawn += [
                    (lease, span_of(blobs, content.parts, lease.start, lease.size_bytes))
                    for lease in leases
                ]
            except BlobCorruptError as fault:
                log.error("file_corrupt", batch=turn.batch_id, file=content.file_id, why=str(fault))
                drawn += [(lease, None) for lease in leases]
    except BaseException:
        held = {(one.batch_id, one.position) for one in leases} | {
            (one.batch_id, one.position) for one, _ in drawn
        }
        work.release(worker, held)
        raise
    return drawn
