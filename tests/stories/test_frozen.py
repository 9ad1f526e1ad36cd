"""Workers that stand still for longer than their lease, on a virtual clock."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from batchyard.places.store import Store
from batchyard.wire.objects import Batch
from tests.stories.loop import run_virtually
from tests.stories.story import judge
from tests.stories.test_spoiled import ended, until
from tests.stories.world import PROJECT, World

LINES = 40
# Longer than a lease.
LONG = 20.0


async def frozen(world: World) -> Batch:
    """A batch whose only worker stands still with lines at the upstream, and is given up."""
    worker = world.bear()
    batch = world.submit("a", LINES, ("m",), 10_000)
    await until(lambda: world.batch(batch.id).request_counts.completed > 0)
    worker.thaws = asyncio.get_running_loop().time() + LONG
    await asyncio.sleep(LONG / 2)
    world.work.bury(world.clock.steady())
    assert not world.work.renew(worker.name, 0.0)
    return batch


async def late_and_wanted(world: World) -> None:
    batch = await frozen(world)
    (batch,) = await ended(world, batch)
    assert batch.status == "completed"
    assert set(world.upstream.calls.values()) == {1}, "what had an answer was asked again"


async def late_and_replaced(world: World) -> None:
    batch = await frozen(world)
    before = world.upstream.calls.total()
    world.bear()
    world.losses += 1
    (batch,) = await ended(world, batch)
    assert batch.status == "completed"
    assert asyncio.get_running_loop().time() < LONG, "nobody waited for the thaw"
    await asyncio.sleep(2 * LONG)
    assert world.upstream.calls.total() > before


async def late_and_cancelled(world: World) -> None:
    batch = await frozen(world)
    world.records.cancel_batch(PROJECT, batch.id, world.now())
    counts = world.batch(batch.id).request_counts
    await asyncio.sleep(LONG)
    (batch,) = await ended(world, batch)
    assert (batch.status, batch.request_counts) == ("cancelled", counts)


@pytest.mark.parametrize(
    "tale", [late_and_wanted, late_and_replaced, late_and_cancelled], ids=lambda it: it.__name__
)
@pytest.mark.parametrize("seed", range(5))
def test_a_late_answer_counts_as_long_as_nobody_else_asks(
    tale: object, seed: int, store: Store, place: Path
) -> None:
    """F4: used where its line is still open, dropped where it is not; never twice."""

    async def told() -> None:
        world = World(store, place / "blobs", Random(seed))
        world.upstream = type(world.upstream)(world.chance, trouble=0.0)
        await tale(world)  # type: ignore[operator]
        judge(world, world.batch("batch_a"))
        assert world.crashes == []

    run_virtually(told())
