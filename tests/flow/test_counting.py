"""Every call that reaches an upstream is counted, also one that was sent twice."""

import asyncio
from random import Random

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Line
from batchyard.flow.manning import open_lanes
from batchyard.flow.shards import HeldShard
from batchyard.places.upstreams import Upstream, Upstreams, UpstreamSettings
from tests.places.upstream_server import Visit, answer, upstream


async def test_a_request_that_went_out_twice_is_two_calls() -> None:
    """An upstream resets each connection that it has answered on, as it is asked again there."""
    asked: list[bytes] = []

    async def script(visit: Visit) -> None:
        asked.append(await visit.request())
        await visit.say(answer())
        asked.append(await visit.request())
        visit.reset()

    landed: asyncio.Queue[Landing] = asyncio.Queue()
    async with upstream(script) as server:
        settings = UpstreamSettings(url=server.url, models=("m",), max_concurrency=1)
        upstreams = Upstreams([Upstream(settings, None)], asyncio.get_running_loop().time)
        lanes = open_lanes(
            upstreams,
            land=lambda _shard, landing: landed.put_nowait(landing),
            hungry=lambda: None,
            quiet=lambda: None,
            wall=lambda: 0.0,
            chance=Random(1),
        )
        shard = HeldShard(4, 0, 4, first_index=0, line_id_prefix="batch_req_")
        deadline = asyncio.get_running_loop().time() + 50
        lines = [Line(shard, n, str(n), "/x", b"{}", deadline) for n in range(4)]
        lanes.offer("m", lines)
        lanes.pump()
        calls = [(await landed.get()).calls for _ in lines]
        lanes.close()
        await upstreams.aclose()
    assert calls == [1, 2, 2, 2]
    assert sum(calls) == len(asked)
