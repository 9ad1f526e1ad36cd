"""Draws shards from the store together with the bytes of their lines."""

import errno
from collections.abc import Collection, Iterable
from typing import NamedTuple

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.contents import span_of, verify
from batchyard.places.log import log
from batchyard.places.store import Work
from batchyard.places.store.rows import Lease

__all__ = ["Draw", "Turn", "draw", "is_own_fault"]

# What the machine lacks for a moment says nothing of the file that was to be read.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}


class Turn(NamedTuple):
    """So many shards of one batch and model."""

    batch_id: str
    model: str
    shards: int


class Draw(NamedTuple):
    """What was drawn, and why the inputs of which batches could not be read."""

    shards: list[tuple[Lease, bytes | None]]
    unreadable: dict[str, OSError]


def is_own_fault(fault: OSError) -> bool:
    """Whether it is a matter of the file that was read, not of the machine."""
    return fault.errno not in _PASSING


def draw(
    work: Work,
    blobs: Blobs,
    worker: str,
    turns: Iterable[Turn],
    now: int,
    *,
    losses_since: int,
    watched_from: int,
    given_up: Collection[str] = (),
) -> Draw:
    """Lease shards and read them; None is what a damaged or vanished input left of them.

    What cannot be read is given back and told; others are drawn all the same. Of batches that are
    `given_up` it counts as damaged.
    """
    drawn = Draw([], {})
    leases: list[Lease] = []
    try:
        for turn in turns:
            if turn.batch_id in drawn.unreadable:
                continue
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
            fault = _read(work, blobs, leases, drawn.shards, given_up=turn.batch_id in given_up)
            if fault is not None:
                drawn.unreadable[turn.batch_id] = fault
                work.release(worker, [(one.batch_id, one.position) for one in leases])
    except BaseException:
        held = {(one.batch_id, one.position) for one in leases} | {
            (one.batch_id, one.position) for one, _ in drawn.shards
        }
        work.release(worker, held)
        raise
    return drawn


def _read(
    work: Work,
    blobs: Blobs,
    leases: list[Lease],
    drawn: list[tuple[Lease, bytes | None]],
    *,
    given_up: bool,
) -> OSError | None:
    """Add the shards of one batch with their bytes; returns why they cannot be read."""
    batch_id, file_id = leases[0].batch_id, leases[0].input_file_id
    content = work.input_parts(leases[0].project_id, file_id)
    assert content is not None, "a running batch keeps its input"
    try:
        verify(blobs, content)
        spans = [span_of(blobs, content.parts, one.start, one.size_bytes) for one in leases]
    except BlobCorruptError as fault:
        log.error("file_corrupt", batch=batch_id, file=file_id, why=str(fault))
    except OSError as fault:
        if not (given_up and is_own_fault(fault)):
            return fault
        log.error("file_unreadable", batch=batch_id, file=file_id, why=str(fault))
    else:
        drawn.extend(zip(leases, spans, strict=True))
        return None
    drawn.extend((lease, None) for lease in leases)
    return None
