"""A lane of numbered lines to an upstream that answers as it is told, each line after its time."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Lane, LaneRules, Line
from batchyard.flow.shards import HeldShard
from batchyard.places.transport import Answer, Fault

__all__ = ["ANSWER", "Way", "lane_over"]

T = TypeVar("T")
ANSWER = Answer(200, [], b'{"usage":null}')


class Way:
    """An upstream; `behave` says after how many seconds a line is answered, and what."""

    def __init__(self, behave: Callable[[], tuple[float, Answer]]) -> None:
        self._behave = behave
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
        fresh: bool = False,
    ) -> "Way":
        loop = asyncio.get_running_loop()
        self.sent.append(loop.time())
        seconds, answer = self._behave()
        loop.call_later(seconds, done, ticket, answer)
        return self

    def cancel(self) -> None:
        raise AssertionError("nothing is given up here")


def lane_over(
    way: Way,
    lines: int,
    *,
    rules: LaneRules,
    land: Callable[[HeldShard, Landing], None],
    hungry: Callable[[], None] = lambda: None,
    quiet: Callable[[], None] = lambda: None,
) -> Lane:
    """A lane that has so many lines to send, and has sent none yet."""
    loop = asyncio.get_running_loop()
    lane = Lane(
        way,
        lambda _path: b"",
        land,
        rules=rules,
        gate=Gate(),
        wall=loop.time,
        chance=Random(1),
        hungry=hungry,
        quiet=quiet,
    )
    shard = HeldShard(lines, 0, lines, first_index=0, line_id_prefix="batch_req_")
    deadline = loop.time() + 1e6
    lane.offer(Line(shard, n, str(n), "/", b"{}", deadline) for n in range(lines))
    return lane
