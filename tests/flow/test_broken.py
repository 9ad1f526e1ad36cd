"""An exception inside a lane stops that lane for a while, and nothing else."""

import asyncio

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import LaneRules
from batchyard.flow.line import Links
from batchyard.places.transport import Answer
from tests.flow.ways import ANSWER, Way, lane_over
from tests.stories.loop import run_virtually


async def carried(spoil: int) -> tuple[list[int], list[str | None]]:
    """Which lines land, and the lane's reasons, where landing this line raises an exception."""
    landed, reasons, over = list[int](), list[str | None](), asyncio.Event()

    def land(_owner: object, landing: Landing) -> None:
        if landing.index == spoil:
            raise ZeroDivisionError("a mistake")
        landed.append(landing.index)
        if len(landed) == 39:
            over.set()

    lane = lane_over(
        Way(lambda: (0.01, ANSWER)), 40, rules=LaneRules(start=4, ceiling=4), land=land
    )
    lane.links = Links(changed=lambda _state, reason: reasons.append(reason))
    lane.pump()
    await over.wait()
    held = [line.index for line in lane.lines()]
    assert held in ([], [spoil])
    return landed, reasons


def test_an_exception_stops_no_other_line() -> None:
    """The lane says what happened, goes on with other lines, and keeps the one that raised it."""
    landed, reasons = run_virtually(carried(3))
    assert sorted(landed) == [index for index in range(40) if index != 3]
    assert "lane_failed: ZeroDivisionError: a mistake" in reasons


def test_a_head_that_cannot_be_built_stops_its_lane_and_not_its_worker() -> None:
    """Nothing is raised to whoever feeds the lane, and no line is lost."""

    async def fed() -> tuple[str | None, int]:
        lane = lane_over(
            Way(lambda: (0.01, Answer(200, [], b"{}"))),
            5,
            rules=LaneRules(start=4, ceiling=4),
            land=lambda _owner, _landing: None,
        )

        def head(_path: str) -> bytes:
            raise ValueError("no header")

        lane._head = head
        lane.pump()
        return lane.reason, lane.held

    assert run_virtually(fed()) == ("lane_failed: ValueError: no header", 5)
