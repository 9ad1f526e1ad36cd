"""How wide a lane gets: against upstreams that answer by simple laws."""

from collections.abc import Callable

from batchyard.rules.width import Width


def settled(width: Width, seconds: Callable[[int], float], turns: int = 40) -> int:
    """The width after some turns against an upstream that takes `seconds(in flight)`."""
    for _ in range(turns):
        for _ in range(max(width.limit, 8)):
            width.answered(seconds(width.limit), full=True, now=0.0)
    return width.limit


def test_an_upstream_that_never_slows_is_used_up_to_the_ceiling() -> None:
    """As long as answers come as fast as ever, more lines cross."""
    assert settled(Width(start=8, ceiling=4_096), lambda _flight: 1.0) == 4_096


def test_an_upstream_with_few_places_is_not_flooded() -> None:
    """Where more in flight only waits longer, the lane stays within a few times its places."""
    width = settled(Width(start=4, ceiling=4_096), lambda flight: max(1.0, flight / 16))
    assert 16 <= width <= 64


def test_a_lane_that_is_not_full_does_not_widen() -> None:
    """Width that nobody uses proves nothing."""
    width = Width(start=8, ceiling=4_096)
    for _ in range(1_000):
        width.answered(1.0, full=False, now=0.0)
    assert width.limit == 8


def test_trouble_narrows_and_quiet_widens_again() -> None:
    """Failures shrink the lane to no less than one; answers let it grow again."""
    width = Width(start=64, ceiling=128)
    for _ in range(2_000):
        width.troubled(0.0)
    assert width.limit == 1
    assert settled(width, lambda _flight: 1.0, turns=200) > 8


def test_a_few_failures_among_many_answers_do_not_narrow() -> None:
    """One failure in fifty is chance, not overload."""
    width = Width(start=50, ceiling=50)
    for _ in range(100):
        width.troubled(0.0)
        for _ in range(49):
            width.answered(1.0, full=True, now=0.0)
    assert width.limit == 50


def test_rising_latency_narrows() -> None:
    """When the same width takes much longer than it once did, somebody else needs the upstream."""
    width = Width(start=8, ceiling=64)
    settled(width, lambda _flight: 1.0)
    assert settled(width, lambda _flight: 10.0, turns=3) < 64


def test_harder_work_is_not_taken_for_a_full_upstream() -> None:
    """Where fewer in flight are no faster, narrowing stops, and the lane widens again."""
    width = Width(start=8, ceiling=256)
    settled(width, lambda _flight: 0.05)
    assert settled(width, lambda _flight: 10.0) == 256


def test_a_single_place_is_not_a_trap() -> None:
    """A lane that trouble has narrowed to one widens also when the work is harder meanwhile."""
    width = Width(start=8, ceiling=64)
    settled(width, lambda _flight: 0.001)
    for _ in range(2_000):
        width.troubled(0.0)
    assert settled(width, lambda _flight: 1.0, turns=20) == 64
