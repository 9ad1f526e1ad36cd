"""What comes back within a moment is followed by lines that leave together."""

import asyncio
from collections import Counter

import pytest

from batchyard.flow.lanes import LaneRules
from batchyard.places.transport import Answer
from tests.flow.ways import ANSWER, Way, lane_over
from tests.stories.loop import run_virtually

LINES, WIDTH = 400, 8


async def cross(seconds: float, gather_seconds: float) -> tuple[Counter[float], float]:
    """How many lines left at each moment, and when the last had come back.

    Each takes so long, and for each of those in flight a little longer.
    """
    landed, loop = asyncio.Event(), asyncio.get_running_loop()
    left = LINES

    def behave() -> tuple[float, Answer]:
        return seconds + len(way.sent) % WIDTH * 0.0001, ANSWER

    def land(_owner: object, _landing: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            landed.set()

    way = Way(behave)
    rules = LaneRules(start=WIDTH, ceiling=WIDTH, gather_seconds=gather_seconds)
    lane = lane_over(way, LINES, rules=rules, land=land)
    began = loop.time()
    lane.pump()
    await landed.wait()
    return Counter(way.sent), loop.time() - began


@pytest.mark.parametrize(("seconds", "together"), [(0.1, True), (0.01, False)])
def test_lines_leave_together_where_a_moment_is_nothing(seconds: float, together: bool) -> None:
    """Beside an answer of 100 ms a millisecond is nothing, beside one of 10 ms it is not."""
    apart, least_seconds = run_virtually(cross(seconds, 0.0))
    gathered, took_seconds = run_virtually(cross(seconds, 0.001))
    assert sum(apart.values()) == sum(gathered.values()) == LINES
    assert (len(gathered) < len(apart) / 4) == together
    assert took_seconds < least_seconds * 1.03
