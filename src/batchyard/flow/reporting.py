"""Tells the store how the lanes of a worker stand, for those who ask why a batch does not move."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from batchyard.flow.lane_standings import LaneStandings
from batchyard.flow.routing import Lanes
from batchyard.places.store.rows import LaneRow

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
        self._standings = LaneStandings(lanes)
        # When a change is to be told that came too soon after the last; on the loop's clock.
        self.due_at: float | None = None

    async def report(self, wall: float) -> None:
        """Tell what has changed, if it is time to."""
        now = self._loop.time()
        gate = self._lanes.gate
        marks = (
            (gate.held, gate.disk_is_low, gate.fault),
            *((key, lane.reason, lane.in_flight > 0) for key, lane in self._lanes.each()),
            *self._lanes.unserved(),
        )
        changed = marks != self._marks
        if now < self._said_at + (_TROUBLE_SECONDS if changed else _FIGURES_SECONDS):
            self.due_at = self._said_at + _TROUBLE_SECONDS if changed else None
            return
        self.due_at = None
        rows = [
            LaneRow(
                model=model,
                upstream=upstream,
                standing=msgspec.json.encode(standing),
                said_at=int(wall),
            )
            for (model, upstream), standing in self._standings.look(int(wall))
        ]
        said = [(row.model, row.upstream, row.standing) for row in rows]
        self._marks, self._said_at = marks, now
        if said != self._said:
            await self._say(rows)
            self._said = said
