"""Calls that hang lose their place and are asked again; what is merely slow is not."""

from collections.abc import Callable
from random import Random

import pytest

from tests.stories.loop import run_virtually
from tests.stories.outages import Carried, Outage, Upstream, carry

TIMEOUT = 600.0


def told(
    lines: int,
    hang: Callable[[int], bool],
    *,
    width: int = 8,
    answer_seconds: float = 1.0,
    outages: tuple[Outage, ...] = (),
) -> Carried:
    """What became of so many lines, of which some hang."""

    async def carrying() -> Carried:
        chance = Random(1)
        upstream = Upstream(chance, outages, answer_seconds=answer_seconds)
        upstream.hang = hang
        return await carry([upstream], lines, chance=chance, width=width, timeout_seconds=TIMEOUT)

    return run_virtually(carrying())


@pytest.mark.parametrize("width", [1, 4, 13])
def test_where_all_calls_hang_and_new_connections_do_not_all_are_asked_anew(width: int) -> None:
    """An old server keeps its calls for ever, and a new one takes its port: a minute, not ten."""
    carried = told(60, lambda index: index < width, width=width)
    assert carried.burnt == {}
    assert carried.seconds < 60 * 1.5 / width + 60
    (lane,), (upstream,) = carried.lanes, carried.upstreams
    assert upstream.calls.total() == 60 + width
    assert sum(one.calls for one in carried.landed.values()) == 60 + width
    assert lane.surplus == width
    # The calls that hung were given up once there was an answer.
    assert set(upstream.answered.values()) == {1}


def test_a_few_that_hang_do_not_hold_the_others_up() -> None:
    """Their places are free for others as soon as they are out for much longer than answers."""
    carried = told(300, lambda index: index % 40 == 0, width=8)
    assert carried.burnt == {}
    assert carried.seconds < 300 * 1.0 / 8 + 60
    assert all(one.calls <= 2 for one in carried.landed.values())


@pytest.mark.parametrize("width", [1, 8, 100])
def test_slow_answers_are_not_doubled(width: int) -> None:
    """Where each answer takes minutes, one call more is made to see that, and no other."""
    carried = told(100, lambda _index: False, width=width, answer_seconds=300.0)
    assert carried.burnt == {}
    (lane,) = carried.lanes
    assert lane.surplus <= 2


def test_a_frozen_upstream_is_not_flooded_and_its_calls_count_no_try() -> None:
    """Nothing is answered on old connections or new ones: all wait, and go on when it thaws."""
    carried = told(50, lambda _index: False, outages=(Outage("silence", 2.0, 1_000.0),))
    assert carried.burnt == {}
    assert len(carried.landed) == 50
    (lane,) = carried.lanes
    assert lane.surplus < 20
