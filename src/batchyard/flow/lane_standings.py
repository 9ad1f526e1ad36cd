"""How the lanes of a process stand, for those who ask why nothing moves."""

import asyncio

from batchyard.flow.lanes import Lane
from batchyard.flow.line import Gate
from batchyard.flow.routing import Lanes
from batchyard.rules.standing import EVERY_MODEL, LaneStanding

__all__ = ["LaneStandings"]

Key = tuple[str, str]


class LaneStandings:
    """Looks at lanes when it is asked, never for a line, and remembers since when each is troubled.

    A key is a model and an upstream.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._since: dict[Key, tuple[str, int]] = {}
        self._held_since: int | None = None

    def look(self, wall: int) -> list[tuple[Key, LaneStanding]]:
        """All lanes as they stand at this Unix time; first, where that is so, that all are held."""
        gate, now = self._lanes.gate, self._loop.time()
        held = gate.held or gate.disk_is_low
        self._held_since = (self._held_since or wall) if held else None
        found: list[tuple[Key, LaneStanding]] = []
        if held:
            # No lane of any model sends anything, nor would one that is not open yet.
            stalled = LaneStanding(
                width=0,
                in_flight=0,
                unrecorded_since=self._held_since,
                unrecorded_why=_why_held(gate),
            )
            found.append(((EVERY_MODEL, ""), stalled))
        found += [
            (key, LaneStanding(width=0, in_flight=0, trouble=why))
            for key, why in self._lanes.unserved()
        ]
        found += [(key, self._standing(key, lane, wall, now)) for key, lane in self._lanes.each()]
        return found

    def _standing(self, key: Key, lane: Lane, wall: int, now: float) -> LaneStanding:
        waiting, silent_until = lane.resting()
        timers = [line.timer.when() for line in waiting if line.timer is not None]
        if lane.reason is None:
            self._since.pop(key, None)
        elif self._since.get(key, ("",))[0] != lane.reason.partition(":")[0]:
            self._since[key] = lane.reason.partition(":")[0], wall
        return LaneStanding(
            width=lane.width.limit,
            width_why=lane.width.why,
            in_flight=lane.in_flight,
            waiting=len(waiting),
            retry_at=int(wall + min(timers) - now) if timers else None,
            trouble=lane.reason,
            trouble_since=self._since[key][1] if lane.reason else None,
            probe_at=int(wall + silent_until - now) if silent_until > now else None,
        )


def _why_held(gate: Gate) -> str:
    if gate.fault is not None:
        return gate.fault
    if gate.disk_is_low:
        return "disk_low: the disk is nearly full, so nothing is asked; make room"
    return "disk_slow: nothing is asked until what has come is written"
