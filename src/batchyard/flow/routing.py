"""Which lane a line takes: those of its model, the one with the most room first."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from batchyard.flow.lanes import Gate, Lane, Line

__all__ = ["Lanes"]


class Lanes:
    """All lanes of one worker, opened as their models come along.

    `routes` names the upstreams that serve a model: none while its lines must wait for one, and
    `lack_of` tells then which are to blame and why. `open_lane` opens the lane of a model at one
    of them; `look` asks the upstreams what they serve, where that is not fresh.
    """

    def __init__(
        self,
        routes: Callable[[str], Sequence[str]],
        open_lane: Callable[[str, str], Lane],
        look: Callable[[], Awaitable[None]],
        *,
        gate: Gate,
        lack_of: Callable[[str], tuple[str, str]] = lambda _model: ("", ""),
    ) -> None:
        self._routes, self._open_lane, self._look = routes, open_lane, look
        self.gate, self._lack_of = gate, lack_of
        self._lanes: dict[tuple[str, str], Lane] = {}
        # The lanes of each model as they were found when the upstreams were last looked at.
        self._found: dict[str, list[Lane]] = {}
        # Lines in hand that no upstream serves at present, by model.
        self._unplaced: dict[str, list[Line]] = {}

    async def look_around(self) -> None:
        """Ask the upstreams what they serve now; lines may take other lanes from then on."""
        await self._look()
        self.reroute()

    def reroute(self) -> None:
        """Lines take the lanes that are right for what the upstreams serve now."""
        self._found.clear()
        for lane in self._lanes.values():
            lane.forget_heads()
        unplaced, self._unplaced = self._unplaced, {}
        for model, lines in unplaced.items():
            self.offer(model, lines)
        if unplaced:
            self.pump()

    def unserved(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Models that no upstream serves: each with the upstreams to blame, and why."""
        for model, lanes in self._found.items():
            if not lanes:
                names, why = self._lack_of(model)
                yield (model, names), why

    def offer(self, model: str, lines: Sequence[Line]) -> None:
        """Take lines to the lane that has the most room, line by line where there are several."""
        lanes = self._found.get(model) or self._of(model)
        if not lanes:
            self._unplaced.setdefault(model, []).extend(lines)
            return
        if len(lanes) == 1:
            lanes[0].offer(lines)
            return
        for line in lines:
            max(lanes, key=_room).offer((line,))

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
        return sum(lane.held for lane in self._lanes.values()) + sum(
            map(len, self._unplaced.values())
        )

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
        reasons = {key: lane.reason for key, lane in self._lanes.items() if lane.reason}
        return reasons | dict(self.unserved())

    def owners(self) -> set[object]:
        """What the lines in hand were read from."""
        owners: set[object] = {line.owner for lane in self._lanes.values() for line in lane.lines()}
        return owners | {line.owner for lines in self._unplaced.values() for line in lines}

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        """Take lines back from all lanes; those at an upstream only with `abort`."""
        taken = [line for lines in self._unplaced.values() for line in lines if wanted(line)]
        if taken:
            gone = set(taken)
            for model, lines in self._unplaced.items():
                self._unplaced[model] = [line for line in lines if line not in gone]
        for lane in self._lanes.values():
            taken += lane.withdraw(wanted, abort=abort)
        return taken

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
