"""Lines of an upstream that fails go to another that serves their model."""

import asyncio
from random import Random

import pytest

from batchyard.flow.lanes import Gate, Lane, LaneRules
from batchyard.flow.line import Line
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard
from tests.stories.loop import run_virtually
from tests.stories.outages import Carried, Outage, Upstream, carry


def told(*outages: list[Outage], lines: int = 300, seed: int = 1) -> Carried:
    """What became of lines that two or more upstreams share."""

    async def carrying() -> Carried:
        chance = Random(seed)
        upstreams = [Upstream(chance, of_one, answer_seconds=0.3) for of_one in outages]
        return await carry(upstreams, lines, chance=chance, width=8)

    return run_virtually(carrying())


@pytest.mark.parametrize("kind", ["refused", "502", "reset", "404", "401", "quota"])
@pytest.mark.parametrize("start", [0.0, 2.5])
def test_the_lines_of_a_dead_upstream_are_answered_by_the_other(kind: str, start: float) -> None:
    """However it fails, for good: what waits in its lane does not wait for it."""
    carried = told([Outage(kind, start)], [])
    assert carried.burnt == {}
    # The one that lives needs 11 s for all.
    assert carried.seconds < 30
    dead, _alive = carried.upstreams
    assert dead.calls.total() < 160


@pytest.mark.parametrize("seed", range(5))
def test_two_upstreams_that_fail_in_turn_answer_all(seed: int) -> None:
    """Lines go to and fro with the lane that is open, and none comes back twice."""
    first = [Outage("502", at * 10.0, 5.0) for at in range(40)]
    second = [Outage("reset", at * 10.0 + 5.0, 5.0) for at in range(40)]
    carried = told(first, second, lines=600, seed=seed)
    assert carried.burnt == {}
    assert len(carried.landed) == 600
    assert carried.seconds < 200


def test_an_upstream_that_is_back_is_used_again() -> None:
    """It is probed with lines of the other's queue, for its own have gone there."""
    carried = told([Outage("502", 0.5, 5.0)], [], lines=1_000)
    assert carried.burnt == {}
    back, _other = carried.upstreams
    assert len(back.answered) > 100
    assert carried.seconds < 35


def test_while_all_are_down_the_lines_wait() -> None:
    """And the first that is back gets them."""
    carried = told([Outage("502", 1.0)], [Outage("refused", 1.0, 600.0)])
    assert carried.burnt == {}
    assert len(carried.landed) == 300
    assert carried.seconds < 640


def test_lanes_of_models_that_nobody_asks_for_any_more_are_closed() -> None:
    """A thousand models, one after the other, do not leave a thousand lanes."""

    async def opened() -> int:
        chance, loop, gate = Random(1), asyncio.get_running_loop(), Gate()
        upstream = Upstream(chance)

        def open_lane(_model: str, _route: str) -> Lane:
            return Lane(
                upstream,
                lambda _path: b"",
                lambda _owner, _landing: over.set(),
                rules=LaneRules(),
                gate=gate,
                wall=loop.time,
                chance=chance,
                hungry=lambda: None,
                quiet=lambda: None,
            )

        async def look() -> None:
            """There is nothing to see."""

        lanes = Lanes(lambda _model: ["only"], open_lane, look, gate=gate)
        shard = HeldShard(1, 0, 1, first_index=0, line_id_prefix="batch_req_")
        for model in range(1_000):
            over = asyncio.Event()
            lanes.offer(str(model), [Line(shard, 0, "a", "/", b"0", 1e9)])
            lanes.pump()
            await over.wait()
            await asyncio.sleep(5.0)
        return len(list(lanes.each()))

    assert run_virtually(opened()) < 100
