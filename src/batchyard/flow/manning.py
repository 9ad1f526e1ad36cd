"""Puts a shift together: upstreams, lanes, and the hands that hold them."""

from random import Random

from batchyard.flow.lanes import Gate, Landing, Lane, LaneRules, Line
from batchyard.flow.routing import Lanes
from batchyard.flow.shift import Shift, ShiftRules, Tools
from batchyard.places.upstreams import Upstreams

__all__ = ["open_shift"]


def open_shift(worker: str, tools: Tools, upstreams: Upstreams, rules: ShiftRules) -> Shift:
    """A shift whose lanes lead to these upstreams; needs a running event loop."""
    gate = Gate()
    chance = Random(tools.chance.random())

    def land(line: Line, landing: Landing) -> None:
        shift.land(line, landing)

    def hungry() -> None:
        shift.hungry()

    def open_lane(_model: str, name: str) -> Lane:
        upstream = upstreams[name]
        settings = upstream.settings
        return Lane(
            upstream.transport,
            upstream.head,
            land,
            rules=LaneRules(
                timeout_seconds=settings.timeout_seconds,
                start=settings.start_concurrency,
                ceiling=settings.max_concurrency,
            ),
            gate=gate,
            wall=tools.clock.wall,
            chance=chance,
            hungry=hungry,
        )

    lanes = Lanes(upstreams.routes, open_lane, upstreams.look, gate=gate)
    shift = Shift(worker, tools, lanes, rules)
    return shift
