"""Tells the store how the lanes of a worker stand, for those who ask why a batch does not move."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from batchyard.flow.lanes import Lane
from batchyard.flow.routing import Lanes
from batchyard.places.store.rows import LaneRow
from batchyard.rules.standing import EVERY_MODEL, LaneStanding

__all__ = ["Reporter"]

# Trouble is told when it comes and goes, but no oftener than this; mere figures less often.
_TROUBLE_SECONDS, _FIGURES_SECONDS = 1.0, 5.0


class Reporter:
    """Looks at the lanes when its worker turns, never for a line."""

    def __init__(self, lanes: Lanes, say: Callable[[Sequence[LaneRow]], Awaitable[None]]) -> None:
        self._lanes, self._say = lanes, say
        self._loop = asyncio.get_running_loop()
        self._said_at = float("-inf")
        self._marks: object = ()
        self._said: object = ()
        self._since: dict[tuple[str, str], tuple[str, int]] = {}
        self._held_since: int | None = None
        # When a change is to be told that came too soon after the last; on the loop's clock.
        self.due_at: float | None = None

    async def report(self, wall: float) -> None:
        """Tell what has changed, if it is time to."""
        now = self._loop.time()
        gate = self._lanes.gate
        marks = (
            gate.held or gate.disk_is_low,
            *((key, lane.reason, lane.in_flight > 0) for key, lane in self._lanes.each()),
            *self._lanes.unserved(),
        )
        changed = marks != self._marks
        if now < self._said_at + (_TROUBLE_SECONDS if changed else _FIGURES_SECONDS):
            self.due_at = self._said_at + _TROUBLE_SECONDS if changed else None
            return
        self.due_at = None
        rows = list(self._rows(int(wall), now))
        said = [(row.model, row.upstream, row.standing) for row in rows]
        self._marks, self._said_at = marks, now
        if said != self._said:
            await self._say(rows)
            self._said = said

    def _rows(self, wall: int, now: float) -> Iterator[LaneRow]:
        gate = self._lanes.gate
        held = gate.held or gate.disk_is_low
        self._held_since = (self._held_since or wall) if held else None
        if held:
            # No lane of any model sends anything, nor would one that is not open yet.
            stalled = LaneStanding(width=0, in_flight=0, unrecorded_since=self._held_since)
            yield LaneRow(
                model=EVERY_MODEL,
                upstream="",
                standing=msgspec.json.encode(stalled),
                said_at=wall,
            )
        for (model, upstream), why in self._lanes.unserved():
            standing = LaneStanding(width=0, in_flight=0, trouble=why)
            yield LaneRow(
                model=model,
                upstream=upstream,
                standing=msgspec.json.encode(standing),
                said_at=wall,
            )
        for key, lane in self._lanes.each():
            standing = self._standing(key, lane, wall, now)
            yield LaneRow(
                model=key[0],
                upstream=key[1],
                standing=msgspec.json.encode(standing),
                said_at=wall,
            )

    def _standing(self, key: tuple[str, str], lane: Lane, wall: int, now: float) -> LaneStanding:
        waiting, silent_until = lane.resting()
        timers = [line.timer.when() for line in waiting if line.timer is not None]
        if lane.reason is None:
            self._since.pop(key, None)
        elif self._since.get(key, ("",))[0] != lane.reason.partition(":")[0]:
            self._since[key] = lane.reason.partition(":")[0], wall
        return LaneStanding(
            width=lane.width.limit,
            in_flight=lane.in_flight,
            waiting=len(waiting),
            retry_at=int(wall + min(timers) - now) if timers else None,
            trouble=lane.reason,
            trouble_since=self._since[key][1] if lane.reason else None,
            probe_at=int(wall + silent_until - now) if silent_until > now else None,
        )
