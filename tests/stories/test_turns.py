"""Who is served when, beside others that were there before, on a virtual clock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from batchyard.places.store import Store
from batchyard.wire.objects import Batch
from tests.stories.loop import run_virtually
from tests.stories.test_spoiled import until
from tests.stories.world import PROJECT, World

LINES = 480
WORKERS = pytest.mark.parametrize("workers", [1, 3])


def steady(world: World, workers: int) -> None:
    """Every answer takes two seconds, of an upstream without trouble."""
    world.upstream._trouble = 0.0
    real = world.upstream.behave
    world.upstream.behave = lambda body: (2.0, real(body)[1])  # type: ignore[method-assign]
    for _ in range(workers):
        world.bear()


def done(world: World, batch: Batch, project: str = PROJECT) -> int:
    """How many lines of a batch have their answer."""
    found = world.records.batch(project, batch.id)
    assert found is not None
    return found.request_counts.completed


def told(store: Store, place: Path, tale: Callable[[World], Awaitable[None]]) -> None:
    async def tell() -> None:
        await tale(World(store, place / "blobs", Random(7)))

    run_virtually(tell())


async def under_way(world: World, workers: int) -> Batch:
    """A large batch that has been served for a while, with more lines at hand than are sent."""
    steady(world, workers)
    large = world.submit("large", LINES, ("m",), 86_400)
    await until(lambda: done(world, large) > 20)
    return large


@WORKERS
def test_a_higher_priority_is_served_next(workers: int, store: Store, place: Path) -> None:
    """Though all lines of the other are leased, and many of them wait in the lane already."""

    async def tale(world: World) -> None:
        large = await under_way(world, workers)
        before = done(world, large)
        quick = world.submit("quick", 8, ("m",), 86_400, priority=100)
        await until(lambda: world.batch(quick.id).status == "completed")
        # What was at the upstream, and one line beside each of its own.
        assert done(world, large) - before <= 8 * workers * 3
        await until(lambda: world.batch(large.id).status == "completed")
        assert max(world.upstream.calls.values()) == 1

    told(store, place, tale)


@WORKERS
def test_a_nearer_deadline_is_met(workers: int, store: Store, place: Path) -> None:
    """A minute for fifteen lines, beside a day for hundreds and others that came before."""

    async def tale(world: World) -> None:
        await under_way(world, workers)
        for number in range(6):
            world.submit(f"other-{number}", 40, ("m",), 86_400)
        short = world.submit("short", 15, ("m",), 60)
        await until(lambda: world.batch(short.id).status not in ("validating", "in_progress"))
        assert world.batch(short.id).status == "completed"

    told(store, place, tale)


@WORKERS
def test_a_project_gets_its_share_beside_one_with_many_batches(
    workers: int, store: Store, place: Path
) -> None:
    """Eight batches of high priority against one: as many lines of the one as of all eight."""

    async def tale(world: World) -> None:
        steady(world, workers)
        many = [world.submit(f"a{n}", 80, ("m",), 86_400, priority=100) for n in range(8)]
        await until(lambda: sum(done(world, one) for one in many) > 20)
        before = sum(done(world, one) for one in many)
        one = world.submit("b", 80, ("m",), 86_400, project="proj_other")
        await until(lambda: done(world, one, "proj_other") == 80)
        # It has about half of what is sent from then on, until few lines are left for several
        # workers; what was in flight is on top.
        assert sum(done(world, batch) for batch in many) - before <= 120 + 8 * workers * 3

    told(store, place, tale)


def test_lines_that_give_way_are_asked_once(store: Store, place: Path) -> None:
    """However many batches come, each with a higher priority than the last."""

    async def tale(world: World) -> None:
        await under_way(world, 2)
        batches = []
        for number in range(30):
            batches.append(world.submit(f"{number}", 5, ("m", "n"), 86_400, priority=number))
            await asyncio.sleep(0.3)
        await until(lambda: all(world.batch(one.id).status == "completed" for one in batches))
        assert max(world.upstream.calls.values()) == 1

    told(store, place, tale)
