"""Opens the lanes from a worker, or a one-shot run, to its upstreams."""

from collections.abc import Callable
from random import Random

from batchyard.flow.lanes import Gate, Landing, Lane, LaneRules, Line
from batchyard.flow.routing import Lanes
from batchyard.places.upstreams import Upstreams

__all__ = ["open_lanes"]


def open_lanes(
    upstreams: Upstreams,
    *,
    land: Callable[[Line, Landing], None],
    hungry: Callable[[], None],
    quiet: Callable[[], None],
    wall: Callable[[], float],
    chance: Random,
) -> Lanes:
    """Lanes to these upstreams; needs a running event loop.

    `land` takes a line that came back for good, `hungry` hears that a lane has few lines left, and
    `quiet` that a lane has none at the upstream, and none to send.
    """
    gate = Gate()

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
            wall=wall,
            chance=chance,
            hungry=hungry,
            quiet=quiet,
        )

    return Lanes(upstreams.routes, open_lane, upstreams.look, gate=gate)
