"""Which lane a line takes: those of its model, the one with the most room first."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial

from batchyard.flow.lanes import Gate, Lane
from batchyard.flow.line import Line, Links
from batchyard.flow.shards import HeldShard
from batchyard.places.log import log

__all__ = ["Lanes"]

# Where there are more lanes, those are closed that have had no line for so long.
_LANES_MIN, _IDLE_SECONDS = 64, 60.0
# A lane that comes and goes fills no log: so many changes of it are told, then one each minute.
_TELLINGS, _TELLING_SECONDS = 6.0, 60.0


class Lanes:
    """All lanes of one worker, opened as their models come along.

    `routes` names the upstreams that serve a model: none while its lines must wait for one, and
    `lack_of` tells then which are to blame and why. `open_lane` opens the lane of a model at one
    of them; `look` asks the upstreams what they serve, where that is not fresh, and `look_soon`
    has them asked anew, for a lane of theirs is sick.
    """

    def __init__(
        self,
        routes: Callable[[str], Sequence[str]],
        open_lane: Callable[[str, str], Lane],
        look: Callable[[], Awaitable[None]],
        *,
        gate: Gate,
        lack_of: Callable[[str], tuple[str, str]] = lambda _model: ("", ""),
        look_soon: Callable[[], object] = lambda: None,
    ) -> None:
        self._routes, self._open_lane, self._look = routes, open_lane, look
        self.gate, self._lack_of, self._look_soon = gate, lack_of, look_soon
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._loop = asyncio.get_running_loop()
        # How many changes of a lane may still be logged, and when that was so.
        self._tellings: dict[tuple[str, str, str], tuple[float, float]] = {}
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
        unplaced, self._unplaced = self._unplaced, {}
        for (model, route), lane in list(self._lanes.items()):
            lane.forget_heads()
            if lane.held and route not in self._routes(model):
                unplaced.setdefault(model, []).extend(lane.surrender())
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
        lanes = self._serving(model)
        if not lanes:
            self._unplaced.setdefault(model, []).extend(lines)
            return
        if len(lanes) == 1:
            lanes[0].offer(lines)
            return
        for line in lines:
            max(lanes, key=_room).offer((line,))
        for lane in lanes:
            if lane.is_dormant:
                lane.hasten()

    def send_now(self, model: str, line: Line) -> bool:
        """Send a line at once, beyond the width of its lane; False where no lane may send now."""
        lanes = self._serving(model)
        return any(lane.send_now(line) for lane in sorted(lanes, key=_room, reverse=True))

    def recall(self, model: str) -> list[Line]:
        """Take back the lines of a model that were never sent."""
        lines = [line for lane in self._of(model) for line in lane.recall()]
        return lines + self._unplaced.pop(model, [])

    def held_by_owner(self, model: str) -> Counter[HeldShard]:
        """How many lines of each shard the lanes of a model have in hand."""
        held = Counter(line.owner for lane in self._of(model) for line in lane.lines())
        return held + Counter(line.owner for line in self._unplaced.get(model, ()))

    def unsent_by_owner(self, model: str) -> Counter[HeldShard]:
        """How many lines of each shard `recall` would take back."""
        lines = Counter(line.owner for lane in self._of(model) for line in lane.unsent())
        return lines + Counter(line.owner for line in self._unplaced.get(model, ()))

    def pace(self, model: str) -> tuple[float, float]:
        """How many lines of a model are answered in a second, and how long one takes, about."""
        seconds = [(lane.width.limit, lane.width.answer_seconds or 1.0) for lane in self._of(model)]
        rate = sum(limit / one for limit, one in seconds)
        return rate, max((one for _, one in seconds), default=0.0)

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
        return any(self.appetite(model) > 0 for model in {model for model, _ in self._lanes})

    def pump(self) -> None:
        """Send what may be sent now, on all lanes."""
        for lane in list(self._lanes.values()):
            lane.pump()

    def appetite(self, model: str) -> int:
        """How many more lines of this model are wanted.

        Where a lane is open, those that are shut want none: what they got would go to the others.
        """
        lanes = self._serving(model)
        wanting = [lane for lane in lanes if not lane.paused] or lanes
        return sum(max(0, lane.appetite) for lane in wanting)

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

    def _serving(self, model: str) -> list[Lane]:
        return self._found.get(model) or self._of(model)

    def _of(self, model: str) -> list[Lane]:
        lanes = []
        for route in self._routes(model):
            key = (model, route)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = self._linked(key)
            lanes.append(lane)
        self._found[model] = lanes
        return lanes

    def _close_idle(self, wanted: str) -> None:
        """Close lanes of other models that have had no line for long: models may be invented."""
        if len(self._lanes) < _LANES_MIN:
            return
        since = self._loop.time() - _IDLE_SECONDS
        for key, lane in list(self._lanes.items()):
            is_asleep = lane.is_dormant or not lane.is_sick
            is_idle = not lane.held and is_asleep and lane.quiet_since <= since
            if is_idle and key[0] != wanted:
                lane.close()
                del self._lanes[key]
                self._found.pop(key[0], None)
                for state in ("sick", "recovered", "throttled", "resumed"):
                    self._tellings.pop((*key, state), None)

    def _linked(self, key: tuple[str, str]) -> Lane:
        model, route = key
        self._close_idle(model)
        lane = self._open_lane(model, route)
        lane.links = Links(
            changed=partial(self._changed, key),
            give=partial(self._give, model, lane),
            borrow=partial(self._borrow, model, lane),
            share=partial(self._share_with, model, lane),
        )
        log.info("lane_opened", model=model, upstream=route)
        return lane

    def _changed(self, key: tuple[str, str], state: str, reason: str | None) -> None:
        if self._may_tell((*key, state)):
            tell = log.info if reason is None else log.warning
            facts = {} if reason is None else {"why": reason}
            tell(f"lane_{state}", model=key[0], upstream=key[1], **facts)
        if state == "sick":
            # A server may have been started anew with another model, or at another path.
            self._look_soon()
        if state == "recovered":
            self._share_with(key[0], self._lanes[key])

    def _may_tell(self, key: tuple[str, str, str]) -> bool:
        """Whether a lane's change to a state may be logged: some at once, then one a minute."""
        now = self._loop.time()
        left, at = self._tellings.get(key, (_TELLINGS, now))
        left = min(_TELLINGS, left + (now - at) / _TELLING_SECONDS)
        self._tellings[key] = max(0.0, left - 1.0) if left >= 1.0 else left, now
        return left >= 1.0

    def _give(self, model: str, lane: Lane) -> None:
        """Take the lines of a lane that is shut to those that are open, if any is."""
        others = [one for one in self._serving(model) if one is not lane and not one.paused]
        if not others:
            return
        for line in lane.surrender():
            max(others, key=_room).offer((line,))
        for other in others:
            other.pump_soon()

    def _share_with(self, model: str, lane: Lane) -> bool:
        """Bring lines to a lane that has none: all of shut lanes, half of the others'."""
        for other in self._serving(model):
            if other is lane:
                continue
            if other.paused:
                self._give(model, other)
            else:
                lane.offer(other.lend(other.queued // 2))
        return bool(lane.queued)

    def _borrow(self, model: str, lane: Lane) -> Line | None:
        """A line for a lane that has none to see with whether its upstream is back."""
        others = [one for one in self._serving(model) if one is not lane and one.queued]
        if not others:
            return None
        return min(others, key=lambda one: one.paused).lend(1)[0]


def _room(lane: Lane) -> tuple[bool, int]:
    return not lane.paused, lane.appetite
