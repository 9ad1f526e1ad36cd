"""Tells the store which shards have lines at the upstream, so that a lost worker harms no other."""

import asyncio
from collections.abc import Callable, Collection, Iterable

from batchyard.flow.keeping import HeldLease
from batchyard.flow.shards import HeldShard
from batchyard.flow.tools import Tools

__all__ = ["SentNotes"]

# What has changed is noted no oftener than this. What is still so is noted again sometimes, in
# Unix seconds, for a loss counts from when it was last noted.
_NOTE_SECONDS, _NOTE_AGAIN_SECONDS = 1.0, 300


class SentNotes:
    """What was noted last of each shard in hand; a lease itself notes that its lines may leave.

    `leaving` names the shards of which lines are at the upstream or may leave at any moment:
    nobody can note each line as it leaves.
    """

    def __init__(
        self, worker: str, tools: Tools, leaving: Callable[[], Collection[HeldShard]]
    ) -> None:
        self._worker, self._tools, self._leaving = worker, tools, leaving
        self._loop = asyncio.get_running_loop()
        self._noted: dict[HeldLease, tuple[bool, int]] = {}
        self._next_at = 0.0
        # Whether the last look found all as it was noted.
        self._is_settled = False

    def due_at(self, held: Collection[HeldLease]) -> float | None:
        """When the next note is due, on the loop's clock, if anything may have to be noted."""
        is_due = held and (len(self._noted) < len(held) or not self._is_settled)
        return self._next_at if is_due else None

    def drop(self, shards: Iterable[HeldLease]) -> None:
        """Forget shards that are no longer in hand."""
        for held in shards:
            self._noted.pop(held, None)

    async def update(self, held: Collection[HeldLease]) -> None:
        """Note what has changed, if it is time to."""
        if self._loop.time() < self._next_at or not held:
            return
        self._next_at = self._loop.time() + _NOTE_SECONDS
        now = int(self._tools.clock.wall())
        leaving = self._leaving()
        changed = {}
        for one in held:
            is_leaving = one in leaving
            said, said_at = self._noted.get(one, (None, 0))
            if said is not is_leaving or (is_leaving and now - said_at >= _NOTE_AGAIN_SECONDS):
                changed[one] = is_leaving
        self._is_settled = not changed
        await self._note(changed, held, now)

    async def before_leaving(
        self, shards: Iterable[HeldShard], held: Collection[HeldLease]
    ) -> None:
        """Take back what was noted of these shards, that no line of theirs may leave."""
        back = {
            one: True
            for one in shards
            if isinstance(one, HeldLease) and self._noted.get(one, (True, 0))[0] is False
        }
        await self._note(back, held, int(self._tools.clock.wall()))

    async def _note(
        self, changed: dict[HeldLease, bool], held: Collection[HeldLease], now: int
    ) -> None:
        if not changed:
            return
        rows = {one.place: is_leaving for one, is_leaving in changed.items()}
        await self._tools.hot.run(self._tools.work.note_sent, self._worker, rows, now)
        # Some may have been given back meanwhile.
        for one in changed.keys() & set(held):
            self._noted[one] = changed[one], now
