"""Calls are counted, also those sent twice, and what is told of failures has no key in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Line
from batchyard.flow.manning import open_lanes
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard
from batchyard.places.upstreams import Upstream, Upstreams, UpstreamSettings
from tests.places.upstream_server import Visit, answer, upstream


@asynccontextmanager
async def carrying(
    url: str, key: str | None
) -> AsyncIterator[tuple[Lanes, asyncio.Queue[Landing]]]:
    """Lanes to an upstream, one line at a time, and what has landed."""
    landed: asyncio.Queue[Landing] = asyncio.Queue()
    settings = UpstreamSettings(url=url, models=("m",), max_concurrency=1, start_concurrency=1)
    upstreams = Upstreams([Upstream(settings, key)], asyncio.get_running_loop().time)
    lanes = open_lanes(
        upstreams,
        land=lambda _shard, landing: landed.put_nowait(landing),
        hungry=lambda: None,
        quiet=lambda: None,
        wall=lambda: 0.0,
        chance=Random(1),
    )
    try:
        yield lanes, landed
    finally:
        lanes.close()
        await upstreams.aclose()


async def test_a_request_that_went_out_twice_is_two_calls() -> None:
    """An upstream resets each connection that it has answered on, as it is asked again there."""
    asked: list[bytes] = []

    async def script(visit: Visit) -> None:
        asked.append(await visit.request())
        await visit.say(answer())
        asked.append(await visit.request())
        visit.reset()

    async with upstream(script) as server, carrying(server.url, None) as (lanes, landed):
        shard = HeldShard(4, 0, 4, first_index=0, line_id_prefix="batch_req_")
        deadline = asyncio.get_running_loop().time() + 50
        lines = [Line(shard, n, str(n), "/x", b"{}", deadline) for n in range(4)]
        lanes.offer("m", lines)
        lanes.pump()
        calls = [(await landed.get()).calls for _ in lines]
    # Beside them the upstream is asked what it serves.
    assert sum(calls) == sum(one.startswith(b"POST") for one in asked)
    assert max(calls) == 2


@pytest.mark.parametrize("body", [b'{"error":"%b"}', b"<html>%b</html>"])
async def test_a_failure_that_calls_itself_a_success_tells_no_key(body: bytes) -> None:
    """An error, or no JSON at all, under status 200, with the request's own key in it."""
    key = "sk-proj-0123456789"

    async def script(visit: Visit) -> None:
        while True:
            is_bad = (await visit.request()).endswith(b"{}")
            await visit.say(answer(body % key.encode() if is_bad else b'{"usage":null}'))

    async with upstream(script) as server, carrying(server.url, key) as (lanes, landed):
        shard = HeldShard(40, 0, 40, first_index=0, line_id_prefix="batch_req_")
        deadline = asyncio.get_running_loop().time() + 50
        bodies = [b"{}", *[b'{"model":"m"}'] * 39]
        lanes.offer("m", [Line(shard, n, "a", "/x", one, deadline) for n, one in enumerate(bodies)])
        lanes.pump()
        landings = [await landed.get() for _ in bodies]
    [failed] = [one for one in landings if one.facts is None]
    assert failed.index == 0
    assert key not in repr(failed)
