"""Large answers are counted from the upstream to the disk, and hold the lanes meanwhile."""

import asyncio
from random import Random

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate
from batchyard.flow.manning import open_lanes
from batchyard.flow.recording import Recorder
from batchyard.flow.shards import HeldShard, Part
from batchyard.places.byte_budget import ByteBudget
from batchyard.places.transport import Answer
from batchyard.places.upstreams import Upstream, Upstreams, UpstreamSettings
from batchyard.wire.lines import AnswerFacts
from tests.stories.loop import run_virtually

_SIZE = 1 << 20


class _Never:
    def resume(self) -> None:
        raise AssertionError("it has been given up")


def _landing(index: int, size: int) -> Landing:
    return Landing(index, "a", 1, Answer(200, [], b"1" * size), AnswerFacts())


def test_an_answer_is_counted_until_it_is_on_the_disk() -> None:
    """Small ones are not; a disk that is full for a while keeps it counted."""

    async def story() -> None:
        budget = ByteBudget(4 * _SIZE)
        kept, full = asyncio.Event(), True

        async def keep(_piece: dict[HeldShard, Part]) -> None:
            nonlocal full
            if full:
                full = False
                raise OSError("No space left on device")
            assert budget.held_bytes == 2 * _SIZE
            kept.set()

        recorder = Recorder(keep)
        shard = HeldShard(4, 0, 4, first_index=0, line_id_prefix="batch_req_" + "0" * 24)
        # One lands before the recorder runs.
        recorder.add(shard, _landing(0, _SIZE))
        recording = asyncio.create_task(recorder.run(Gate(budget), lambda: None))
        await asyncio.sleep(0)
        recorder.add(shard, _landing(1, _SIZE))
        recorder.add(shard, _landing(2, 60_000))
        await recorder.drained()
        assert kept.is_set()
        assert budget.held_bytes == 0
        recording.cancel()

    run_virtually(story())


async def test_a_spent_budget_holds_all_lanes_until_there_is_room() -> None:
    """All transports of a process share one, and the lanes are told when it has room again."""
    names = ("one", "two")
    settings = [UpstreamSettings(url="http://127.0.0.1:9", name=name) for name in names]
    opened = [Upstream(one, None) for one in settings]
    upstreams = Upstreams(opened, asyncio.get_running_loop().time)
    budget = upstreams.budget
    assert [one.transport.budget for one in opened] == [budget, budget]
    lanes = open_lanes(
        upstreams,
        land=lambda _shard, _landing: None,
        hungry=lambda: None,
        quiet=lambda: None,
        wall=lambda: 0.0,
        chance=Random(1),
    )
    pumped: list[None] = []
    assert budget.on_room == lanes.pump
    budget.on_room = lambda: pumped.append(None)
    reader = _Never()
    budget.hold(budget.limit_bytes)
    assert not budget.reserve(reader, 1)
    assert lanes.gate.is_shut(0.0)
    budget.release(reader, 1)
    assert lanes.gate.is_shut(0.0)
    budget.recorded(budget.limit_bytes)
    assert not lanes.gate.is_shut(0.0)
    assert pumped == [None]
    await upstreams.aclose()
