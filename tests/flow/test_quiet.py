"""Who is told when a lane has nothing at the upstream, and what."""

import asyncio

import pytest

from batchyard.flow.lanes import LaneRules
from batchyard.places.transport import Answer
from tests.flow.ways import ANSWER, Way, lane_over
from tests.stories.loop import run_virtually


async def heard(lines: int, trouble: list[Answer]) -> list[str]:
    """What is heard of so many lines, in order, while nothing is at the upstream.

    Each is answered after 10 ms, with the first answer of `trouble` that is left.
    """
    told, over = list[str](), asyncio.Event()

    def hungry() -> None:
        if not lane.in_flight:
            told.append("hungry")

    def quiet() -> None:
        told.append("quiet")
        over.set()

    lane = lane_over(
        Way(lambda: (0.01, trouble.pop(0) if trouble else ANSWER)),
        lines,
        rules=LaneRules(start=8, ceiling=8),
        land=lambda _shard, _landing: told.append("landed"),
        hungry=hungry,
        quiet=quiet,
    )
    lane.pump()
    await over.wait()
    return told


@pytest.mark.parametrize(
    "trouble",
    [
        [],
        [Answer(500, [], b"")] * 3,
        [Answer(429, [(b"retry-after-ms", b"50")], b"")],
        [Answer(500, [], b""), Answer(429, [(b"retry-after-ms", b"2000")], b"")],
    ],
)
def test_a_lane_is_quiet_once_it_has_no_line_in_hand(trouble: list[Answer]) -> None:
    """What has come waits for what is tried again; when all is there it waits no longer."""
    told = run_virtually(heard(4, list(trouble)))
    assert told.count("landed") == 4
    assert told.count("quiet") == 1
    assert told[-1] == "quiet"


def test_while_lines_wait_for_another_try_the_lane_says_that_it_has_room() -> None:
    """Whoever waits for lines to come back looks again also when none is left to send."""
    told = run_virtually(heard(2, [Answer(500, [], b"")]))
    assert "hungry" in told[: told.index("quiet")]
