"""Which lane a line takes: those of its model, the one with the most room first."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from batchyard.flow.lanes import Gate, Lane, Line
from batchyard.flow.shards import HeldShard

__all__ = ["Lanes"]


class Lanes:
    """All lanes of one worker, opened as their models come along.

    `routes` names the upstreams that serve a model (never none); `open_lane` opens the lane of a
    model at one of them; `look` asks the upstreams what they serve, where that is not fresh.
    """

    def __init__(
        self,
        routes: Callable[[str], Sequence[str]],
        open_lane: Callable[[str, str], Lane],
        look: Callable[[], Awaitable[None]],
        *,
        gate: Gate,
    ) -> None:
        self._routes, self._open_lane, self._look = routes, open_lane, look
        self.gate = gate
        self._lanes: dict[tuple[str, str], Lane] = {}
        # The lanes of each model as they were found when the upstreams were last looked at.
        self._found: dict[str, list[Lane]] = {}

    async def look_around(self) -> None:
        """Ask the upstreams what they serve now; lines may take other lanes from then on."""
        await self._look()
        self._found.clear()

    def offer(self, model: str, lines: Sequence[Line]) -> None:
        """Take lines to the lane that has the most room, line by line where there are several."""
        lanes = self._found.get(model) or self._of(model)
        if len(lanes) == 1:
            lanes[0].offer(lines)
            return
        for line in lines:
            max(lanes, key=_room).offer((line,))

    def send_now(self, model: str, line: Line) -> bool:
        """Send a line at once, beyond the width of its lane; False where no lane may send now."""
        lanes = self._found.get(model) or self._of(model)
        return any(lane.send_now(line) for lane in sorted(lanes, key=_room, reverse=True))

    def recall(self, model: str) -> list[Line]:
        """Take back the lines of a model that were never sent."""
        return [line for lane in self._of(model) for line in lane.recall()]

    def held_by_owner(self, model: str) -> Counter[HeldShard]:
        """How many lines of each shard the lanes of a model have in hand."""
        return Counter(line.owner for lane in self._of(model) for line in lane.lines())

    def unsent_by_owner(self, model: str) -> Counter[HeldShard]:
        """How many lines of each shard `recall` would take back."""
        lanes = self._of(model)
        return Counter(line.owner for lane in lanes for line in lane.queued() if not line.calls)

    def pace(self, model: str) -> tuple[float, float]:
        """How many lines of a model are answered in a second, and how long one takes, about."""
        seconds = [(lane.width.limit, lane.width.answer_seconds or 1.0) for lane in self._of(model)]
        return sum(limit / one for limit, one in seconds), max(one for _, one in seconds)

    def owners_leaving(self) -> set[HeldShard]:
        """The shards of which lines are at an upstream, or may leave for one at any moment."""
        found: set[HeldShard] = set()
        for lane in self._lanes.values():
            found |= lane.owners_in_flight()
            if not lane.paused:
                found.update(line.owner for line in lane.lines())
        return found

    @property
    def hungry(self) -> bool:
        """Whether any lane wants lines."""
        return any(lane.appetite > 0 for lane in self._lanes.values())

    def pump(self) -> None:
        """Send what may be sent now, on all lanes."""
        for lane in self._lanes.values():
            lane.pump()

    def appetite(self, model: str) -> int:
        """How many more lines of this model are wanted."""
        return sum(max(0, lane.appetite) for lane in self._of(model))

    @property
    def held(self) -> int:
        """Lines in hand."""
        return sum(lane.held for lane in self._lanes.values())

    @property
    def in_flight(self) -> int:
        """Lines that are at an upstream now."""
        return sum(lane.in_flight for lane in self._lanes.values())

    def each(self) -> Iterable[tuple[tuple[str, str], Lane]]:
        """All lanes, by model and upstream."""
        return self._lanes.items()

    @property
    def reasons(self) -> dict[tuple[str, str], str]:
        """Why lanes stand still, by model and upstream."""
        return {key: lane.reason for key, lane in self._lanes.items() if lane.reason}

    def owners(self) -> set[object]:
        """What the lines in hand were read from."""
        return {line.owner for lane in self._lanes.values() for line in lane.lines()}

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        """Take lines back from all lanes; those at an upstream only with `abort`."""
        return [
            line for lane in self._lanes.values() for line in lane.withdraw(wanted, abort=abort)
        ]

    def close(self) -> None:
        """Stop for good."""
        for lane in self._lanes.values():
            lane.close()

    def _of(self, model: str) -> list[Lane]:
        lanes = []
        for route in self._routes(model):
            key = (model, route)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = self._open_lane(model, route)
            lanes.append(lane)
        self._found[model] = lanes
        return lanes


def _room(lane: Lane) -> tuple[bool, int]:
    return not lane.paused, lane.appetite
