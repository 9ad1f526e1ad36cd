"""What holds of a lane's width whatever the search for it finds."""

from batchyard.rules.width import Width
from tests.rules.upstreams import carried, slots, steady


def drive(width: Width, places: int, lines: int, seconds: float = 1.0) -> int:
    """The width after so many lines at an upstream of so many places."""
    for _ in carried(width, slots(places, steady(seconds)), lines=lines):
        pass
    return width.limit


def test_a_lane_begins_as_it_is_told_and_never_passes_its_ceiling() -> None:
    """What the settings say holds from the first line on."""
    assert Width(start=8, ceiling=4).limit == 4
    width = Width(start=2, ceiling=6)
    assert max(one.width for one in carried(width, slots(64, steady(1.0)), lines=2_000)) == 6


def test_a_lane_that_is_not_full_does_not_change() -> None:
    """Width that nobody uses proves nothing."""
    width = Width(start=8, ceiling=4_096)
    for number in range(1_000):
        width.answered(1.0, full=False, now=float(number))
    assert width.limit == 8


def test_a_lane_that_lacks_lines_does_not_change() -> None:
    """Where one of sixteen places is in use on average, the rate is that of the lines."""
    width = Width(start=16, ceiling=4_096)
    for number in range(1_000):
        width.answered(1.0, full=number % 10 == 0, now=float(number))
    assert width.limit == 16


def test_places_that_the_upstream_tells_of_are_a_ceiling() -> None:
    """Told of four places, a lane takes five: one line waits for the place that comes free."""
    width = Width(start=2, ceiling=4_096)
    width.set_ceiling(5, 0.0)
    assert drive(width, 64, 2_000) == 5


def test_a_ceiling_that_is_learned_late_narrows_at_once_and_can_be_lifted() -> None:
    """The next line already keeps to it; the settings remain the upper bound."""
    width = Width(start=64, ceiling=100)
    width.set_ceiling(5, 0.0)
    assert width.limit == 5
    width.set_ceiling(500, 1.0)
    assert drive(width, 1_000, 3_000) == 100
    width.set_ceiling(None, 1e6)
    assert width.limit == 100


def test_trouble_narrows_and_quiet_widens_again() -> None:
    """Failures shrink the lane to no less than one; answers let it grow again."""
    width = Width(start=64, ceiling=128)
    for number in range(2_000):
        width.troubled(number / 100)
    assert width.limit == 1
    assert drive(width, 256, 4_000) > 64


def test_a_step_that_meets_refusals_is_taken_back_whole() -> None:
    """What was good before the step is good after it."""
    width = Width(start=2, ceiling=4_096)
    for _ in carried(width, slots(64, steady(1.0)), lines=8):
        pass
    before = width.limit
    assert before > 2
    for _ in range(before):
        width.troubled(100.0)
    assert width.limit < before


def test_lines_wait_ready_for_a_fifth_of_a_second() -> None:
    """What is read ahead follows the rate, between one shard and what memory bears."""
    width = Width(start=2, ceiling=4_096)
    assert width.ahead == 500
    drive(width, 4, 100)
    assert width.ahead == 500
    quick = Width(start=64, ceiling=64)
    drive(quick, 64, 100_000, 0.005)
    assert 2_000 < quick.ahead <= 4_000
    assert quick.rate > 10_000


def test_a_lane_says_why_it_is_not_wider() -> None:
    """Each bound has words of its own."""
    width = Width(start=2, ceiling=64, timeout_seconds=600.0)
    assert width.why == "still widening"
    drive(width, 4, 400)
    assert width.why == "a wider lane brings no more answers a second"
    width.timed_out(1e6)
    assert width.why == "a wider lane met refusals or time-outs"
    width.set_ceiling(1, 1e6)
    assert width.why == "the upstream has no more places"
    assert Width(start=8, ceiling=8).why == "the settings allow no more"
    slow = Width(start=8, ceiling=64, timeout_seconds=60.0)
    slow.answered(3.0, full=True, now=3.0)
    for number in range(8):
        slow.answered(20.0, full=True, now=20.0 + number)
    assert slow.why == "answers of a wider lane take too long beside the time-out"
