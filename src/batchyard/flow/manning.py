"""Opens the lanes from a worker, or a one-shot run, to its upstreams."""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Lane, LaneRules, Line
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard
from batchyard.places.upstreams import Upstream, Upstreams, UpstreamSettings
from batchyard.wire.models import with_model

__all__ = ["open_lanes"]


def open_lanes(
    upstreams: Upstreams,
    *,
    land: Callable[[HeldShard, Landing], None],
    hungry: Callable[[], None],
    quiet: Callable[[], None],
    wall: Callable[[], float],
    chance: Random,
) -> Lanes:
    """Lanes to these upstreams, which are looked after until they are closed.

    Needs a running event loop.

    `land` takes the shard of a line that came back for good, and how it did; `hungry` hears that a
    lane has few lines left, and `quiet` that it has none in hand any more.
    """
    gate = Gate(upstreams.budget)

    def open_lane(model: str, name: str) -> Lane:
        upstream = upstreams[name]
        upstream.transport.on_retry = _count_call
        lane = Lane(
            upstream.transport,
            upstream.head,
            land,
            rules=_rules_of(upstream.settings),
            gate=gate,
            wall=wall,
            chance=chance,
            hungry=hungry,
            quiet=quiet,
            mask=upstream.transport.mask.answer,
            models_head=partial(upstream.head, "/models", "GET"),
            rewrite=_renaming(upstream, model),
        )
        _bound(lane, upstream)
        return lane

    lanes = Lanes(
        upstreams.routes,
        open_lane,
        upstreams.look,
        gate=gate,
        lack_of=upstreams.lack_of,
        look_soon=upstreams.look_soon,
    )

    def changed() -> None:
        for (_, name), lane in lanes.each():
            _bound(lane, upstreams[name])
        lanes.reroute()
        hungry()

    upstreams.watch(changed)
    upstreams.budget.on_room = lanes.pump
    return lanes


def _rules_of(settings: UpstreamSettings) -> LaneRules:
    return LaneRules(
        timeout_seconds=settings.timeout_seconds,
        start=settings.start_concurrency,
        ceiling=settings.max_concurrency,
        key_setting=settings.key_setting,
    )


def _bound(lane: Lane, upstream: Upstream) -> None:
    """Let no more lines be in flight than the upstream has places for; one may wait."""
    ceiling = None if upstream.slots is None else upstream.slots + 1
    lane.width.set_ceiling(ceiling, asyncio.get_running_loop().time())


def _count_call(ticket: object) -> None:
    """Count a line that went out twice because a connection was closed while it was idle."""
    if isinstance(ticket, Line):
        ticket.calls += 1


def _renaming(upstream: Upstream, model: str) -> Callable[[bytes], bytes] | None:
    """Writes the name that the upstream has for a model into a body, where names may differ."""
    if not upstream.settings.aliases:
        return None

    def rewrite(body: bytes) -> bytes:
        sent = upstream.sent_as(model)
        return body if sent is None else with_model(body, sent)

    return rewrite
