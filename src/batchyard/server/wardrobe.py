"""Remembers for a moment what was found of batches, for those who poll fast."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from batchyard.places.store.rows import BatchStanding
from batchyard.rules.standing import Pace, paced
from batchyard.wire.objects import Batch, Extras

__all__ = ["Wardrobe"]

_FRESH_SECONDS = 0.5
_REMEMBERED_MAX = 10_000


# Finds the extras of batches, by id.
Look = Callable[[Sequence[Batch]], Coroutine[Any, Any, Mapping[str, Extras]]]


class Wardrobe:
    """The extras of batches as last found, and their paces, which only grow out of looking.

    However many poll a batch, one looks, and the others take what that one finds.
    """

    def __init__(self) -> None:
        self._extras: dict[str, tuple[str, float, Extras]] = {}
        self._paces: dict[str, Pace] = {}
        self._looks: dict[tuple[str, str], asyncio.Task[Mapping[str, Extras]]] = {}

    async def worn(
        self, shown: Sequence[Batch], look: Look, steady: Callable[[], float]
    ) -> Mapping[str, Extras]:
        """The extras of each of these: as found a moment ago, as being looked for, or looked for.

        What was found counts as long as it is fresh, by the clock `steady`, and the batch has the
        status that it had.
        """
        found, looks, missing = dict[str, Extras](), set[asyncio.Task[Mapping[str, Extras]]](), []
        now = steady()
        for batch in shown:
            status, until, extras = self._extras.get(batch.id, ("", 0.0, None))
            if extras is not None and status == batch.status and now < until:
                found[batch.id] = extras
            elif (looking := self._looks.get((batch.id, batch.status))) is not None:
                looks.add(looking)
            else:
                missing.append(batch)
        if missing:
            # A task of its own: who asked first may hang up before the others have their answer.
            looking = asyncio.create_task(self._look(missing, look, steady))
            self._looks |= {(batch.id, batch.status): looking for batch in missing}
            looks.add(looking)
        wanted = {batch.id for batch in shown}
        for looking in looks:
            seen = await asyncio.shield(looking)
            found |= {id: extras for id, extras in seen.items() if id in wanted}
        return found

    async def _look(
        self, missing: Sequence[Batch], look: Look, steady: Callable[[], float]
    ) -> Mapping[str, Extras]:
        me, seen = asyncio.current_task(), dict[str, Extras]()
        for remembered in (self._extras, self._paces):
            if len(remembered) > _REMEMBERED_MAX:
                remembered.clear()
        try:
            seen |= await look(missing)
        finally:
            until = steady() + _FRESH_SECONDS
            for batch in missing:
                # Unless it was changed meanwhile.
                if self._looks.get((batch.id, batch.status)) is me:
                    del self._looks[batch.id, batch.status]
                    if batch.id in seen:
                        self._extras[batch.id] = (batch.status, until, seen[batch.id])
        return seen

    def forget(self, batch_id: str) -> None:
        """Forget what was found of a batch, but not its pace."""
        self._extras.pop(batch_id, None)
        for key in [key for key in self._looks if key[0] == batch_id]:
            del self._looks[key]

    def pace(self, batch: Batch, standing: BatchStanding, now: float) -> Pace | None:
        """How fast a running batch is; None of one that does not run."""
        if batch.status != "in_progress" or standing.admitted_at is None:
            self._paces.pop(batch.id, None)
            return None
        done = batch.request_counts.completed + batch.request_counts.failed
        pace = paced(self._paces.get(batch.id), now, done, standing.admitted_at)
        self._paces[batch.id] = pace
        return pace
