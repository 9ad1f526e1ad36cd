"""What comes back within a moment is followed by lines that leave together."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TypeVar

import pytest

from batchyard.flow.lanes import Gate, Lane, LaneRules, Line
from batchyard.flow.shards import HeldShard
from batchyard.places.transport import Answer, Fault
from tests.stories.loop import run_virtually

T = TypeVar("T")
SHARD = HeldShard(1_000, 0, 1_000, first_index=0, line_id_prefix="batch_req_")
LINES, WIDTH = 400, 8


class Way:
    """An upstream that takes so long, and for each of those in flight a little longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.sent: list[float] = []

    def send(
        self,
        head: bytes,
        body: bytes,
        *,
        deadline: float,
        body_bytes_max: int,
        done: Callable[[T, Answer | Fault], None],
        ticket: T,
    ) -> "Way":
        loop = asyncio.get_running_loop()
        self.sent.append(loop.time())
        seconds = self._seconds + len(self.sent) % WIDTH * 0.0001
        loop.call_later(seconds, done, ticket, Answer(200, [], b'{"usage":null}'))
        return self

    def cancel(self) -> None:
        raise AssertionError("nothing is given up here")


async def cross(seconds: float, gather_seconds: float) -> tuple[Counter[float], float]:
    """How many lines left at each moment, and when the last had come back."""
    way, landed, loop = Way(seconds), asyncio.Event(), asyncio.get_running_loop()
    left = LINES

    def land(_owner: object, _landing: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            landed.set()

    lane = Lane(
        way,
        lambda _path: b"",
        land,
        rules=LaneRules(start=WIDTH, ceiling=WIDTH, gather_seconds=gather_seconds),
        gate=Gate(),
        wall=loop.time,
        chance=Random(1),
        hungry=lambda: None,
        quiet=lambda: None,
    )
    began = loop.time()
    lane.offer(Line(SHARD, n, str(n), "/", b"{}", began + 1e6) for n in range(LINES))
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
