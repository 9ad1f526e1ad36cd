"""Remembers for a moment what was found of batches, for those who poll fast."""

from batchyard.places.store.rows import BatchStanding
from batchyard.rules.standing import Pace, paced
from batchyard.wire.objects import Batch, Extras

__all__ = ["Wardrobe"]

_FRESH_SECONDS = 0.5
_REMEMBERED_MAX = 10_000


class Wardrobe:
    """The extras of batches as last found, and their paces, which only grow out of looking."""

    def __init__(self) -> None:
        self._extras: dict[str, tuple[str, float, Extras]] = {}
        self._paces: dict[str, Pace] = {}

    def worn(self, batch: Batch, steady: float) -> Extras | None:
        """What was found of a batch, if that is fresh and of its present status."""
        found = self._extras.get(batch.id)
        if found is None or found[0] != batch.status or found[1] <= steady:
            return None
        return found[2]

    def put(self, batch: Batch, extras: Extras, steady: float) -> Extras:
        """Remember what was found now, and forget all else when it has become much."""
        for remembered in (self._extras, self._paces):
            if len(remembered) > _REMEMBERED_MAX:
                remembered.clear()
        self._extras[batch.id] = (batch.status, steady + _FRESH_SECONDS, extras)
        return extras

    def forget(self, batch_id: str) -> None:
        """Forget what was found of a batch, but not its pace."""
        self._extras.pop(batch_id, None)

    def pace(self, batch: Batch, standing: BatchStanding, now: float) -> Pace | None:
        """How fast a running batch is; None of one that does not run."""
        if batch.status != "in_progress" or standing.admitted_at is None:
            self._paces.pop(batch.id, None)
            return None
        done = batch.request_counts.completed + batch.request_counts.failed
        pace = paced(self._paces.get(batch.id), now, done, standing.admitted_at)
        self._paces[batch.id] = pace
        return pace
