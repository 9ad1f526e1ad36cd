"""Who is told when a lane has nothing at the upstream, and what."""

import asyncio
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
ANSWER = Answer(200, [], b'{"usage":null}')


class Way:
    """An upstream that gives each line after 10 ms the first answer of `trouble` that is left."""

    def __init__(self, trouble: list[Answer]) -> None:
        self._answers = trouble

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
        answer = self._answers.pop(0) if self._answers else ANSWER
        asyncio.get_running_loop().call_later(0.01, done, ticket, answer)
        return self

    def cancel(self) -> None:
        raise AssertionError("nothing is given up here")


async def heard(lines: int, trouble: list[Answer]) -> list[str]:
    """What is heard of so many lines, in order, while nothing is at the upstream."""
    told, over = list[str](), asyncio.Event()

    def hungry() -> None:
        if not lane.in_flight:
            told.append("hungry")

    def quiet() -> None:
        told.append("quiet")
        over.set()

    lane = Lane(
        Way(trouble),
        lambda _path: b"",
        lambda _line, _landing: told.append("landed"),
        rules=LaneRules(start=8, ceiling=8),
        gate=Gate(),
        wall=asyncio.get_running_loop().time,
        chance=Random(1),
        hungry=hungry,
        quiet=quiet,
    )
    lane.offer(Line(SHARD, n, str(n), "/", b"{}", 1e6) for n in range(lines))
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
