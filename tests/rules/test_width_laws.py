"""How wide a lane gets against upstreams as they are: queues, GPUs, limits, and luck."""

import pytest

from batchyard.rules.width import Width
from tests.rules.upstreams import Law, batched, carried, fixed, limited, slots, spread


def widths(law: Law, lines: int, *, skip: int = 0) -> list[int]:
    """The width at each line that came back after the first `skip`."""
    width = Width(start=8, ceiling=4_096)
    return [width.limit for _ in carried(width, law, lines)][skip:]


@pytest.mark.parametrize("per_second", [10_000, 25_000, 50_000])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_more_at_once_of_what_comes_at_once_is_no_gain(per_second: int, sigma: float) -> None:
    """Where as many answers a second come whatever the width, it stays small, for good."""
    law = spread(slots(1, lambda _now: 1 / per_second), sigma)
    seen = widths(law, 300_000, skip=1_000)
    assert min(seen) >= 8
    assert max(seen) <= 512


@pytest.mark.parametrize(("seconds", "turns"), [(0.003, 11), (0.05, 11), (1.0, 11), (30.0, 11)])
def test_an_upstream_that_never_slows_is_filled_within_a_few_answers(
    seconds: float, turns: int
) -> None:
    """The ceiling is reached after about as many answers' time as there are doublings."""
    width = Width(start=8, ceiling=4_096)
    for now, _answered in carried(width, fixed(seconds), 50_000):
        if width.limit == 4_096:
            assert now <= turns * seconds
            return
    pytest.fail(f"only {width.limit} wide")


def test_a_spread_of_times_does_not_stop_it_below_what_is_wanted() -> None:
    """1,000 in flight are reached also where answers take 50 ms give or take a half."""
    width = Width(start=8, ceiling=4_096)
    reached = [
        n
        for n, _ in enumerate(carried(width, spread(fixed(0.05), 0.5), 20_000))
        if width.limit >= 1_000
    ]
    assert reached
    assert reached[0] < 5_000


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("places", [4, 64, 256])
def test_places_are_filled_and_the_queue_before_them_is_bounded(places: int, sigma: float) -> None:
    """All places of an upstream are taken; a few times as many wait before them."""
    seen = widths(spread(slots(places, lambda _now: 0.5), sigma), places * 200, skip=places * 100)
    assert min(seen) >= places
    assert max(seen) <= places * 16


@pytest.mark.parametrize("seconds", [0.03, 0.5])
@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_a_gpu_that_gains_from_many_gets_many(seconds: float, sigma: float) -> None:
    """Where twice as many in flight still are some more a second, the lane goes on."""
    seen = widths(spread(batched(seconds, 64), sigma), 30_000, skip=15_000)
    assert min(seen) >= 256


def test_an_upstream_that_refuses_beyond_a_width_is_kept_below_it() -> None:
    """Nine lines of ten are answered, and most of the places are in use."""
    width = Width(start=8, ceiling=4_096)
    came = list(carried(width, limited(fixed(1.0), 100), 20_000))
    answered = sum(is_answered for _now, is_answered in came)
    assert answered > 0.9 * len(came)
    assert answered / came[-1][0] > 60


@pytest.mark.parametrize(("before", "after"), [(0.1, 2.0), (2.0, 0.1)])
def test_work_that_becomes_harder_or_easier_keeps_all_places_filled(
    before: float, after: float
) -> None:
    """The width fits what is asked now, not what was asked first."""
    law = slots(64, lambda now: before if now < 50 else after)
    seen = widths(law, 40_000, skip=10_000)
    assert min(seen) >= 64
    assert max(seen) <= 64 * 24
