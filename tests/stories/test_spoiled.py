"""Inputs that are damaged or vanish while their batch runs, on a virtual clock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from batchyard.places.store import Store
from batchyard.wire.objects import Batch
from tests.stories.loop import run_virtually
from tests.stories.story import TERMINAL
from tests.stories.world import World

LINES = 40


def vanish(blob: Path) -> None:
    blob.unlink()


def flip(blob: Path) -> None:
    text = bytearray(blob.read_bytes())
    text[len(text) // 2] ^= 1
    blob.write_bytes(text)


def shorten(blob: Path) -> None:
    blob.write_bytes(blob.read_bytes()[:10])


SPOIL = pytest.mark.parametrize("spoil", [vanish, flip, shorten])


async def until(met: Callable[[], bool]) -> None:
    """Look ten times a second, for up to ten minutes."""
    for _ in range(6_000):
        if met():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never came true")


async def ended(world: World, *batches: Batch) -> list[Batch]:
    """The batches when they have ended."""
    await until(lambda: all(world.batch(one.id).status in TERMINAL for one in batches))
    return [world.batch(one.id) for one in batches]


def codes_of(world: World, batch: Batch) -> set[str]:
    """The codes in the error file."""
    lines = world.lines_of(batch.error_file_id)
    return {line["error"]["code"] for line in lines if line["error"]}


async def spoiled_while_running(world: World, spoil: Callable[[Path], None]) -> None:
    world.bear()
    spoiled, whole = (world.submit(name, LINES, ("m",), 10_000) for name in "ab")
    await until(lambda: world.batch(spoiled.id).request_counts.completed > 0)
    spoil(world.folder / "inputs" / "a.0")
    spoiled, whole = await ended(world, spoiled, whole)
    assert whole.status == "completed"
    assert "file_corrupt" not in codes_of(world, whole)
    counts = spoiled.request_counts
    assert spoiled.status == "completed"
    assert (counts.total, counts.completed + counts.failed) == (LINES, LINES)
    assert counts.completed == len(world.lines_of(spoiled.output_file_id)) > 0
    assert counts.failed == len(world.lines_of(spoiled.error_file_id)) > 0
    assert "file_corrupt" in codes_of(world, spoiled)
    assert (world.crashes, world.losses) == ([], 0)


async def spoiled_before(world: World, spoil: Callable[[Path], None]) -> None:
    spoiled, whole = (world.submit(name, LINES, ("m",), 10_000) for name in "ab")
    spoil(world.folder / "inputs" / "a.0")
    world.bear()
    spoiled, whole = await ended(world, spoiled, whole)
    assert (spoiled.status, whole.status) == ("failed", "completed")
    assert spoiled.errors is not None
    assert [error.code for error in spoiled.errors.data] == ["file_corrupt"]
    assert (world.crashes, world.losses) == ([], 0)


async def spoiled_and_cancelled(world: World, spoil: Callable[[Path], None]) -> None:
    world.bear()
    batch = world.submit("a", LINES, ("m",), 10_000)
    await until(lambda: world.batch(batch.id).request_counts.total > 0)
    spoil(world.folder / "inputs" / "a.0")
    world.records.cancel_batch("proj_story", batch.id, world.now())
    world.ring()
    (batch,) = await ended(world, batch)
    assert batch.status == "cancelled"
    lines = world.lines_of(batch.output_file_id) + world.lines_of(batch.error_file_id)
    assert len({line["id"] for line in lines}) == LINES
    assert world.crashes == []


@SPOIL
@pytest.mark.parametrize(
    "tale",
    [spoiled_while_running, spoiled_before, spoiled_and_cancelled],
    ids=lambda it: it.__name__,
)
def test_a_spoiled_input_hurts_its_own_batch_alone(
    tale: Callable[[World, Callable[[Path], None]], Awaitable[None]],
    spoil: Callable[[Path], None],
    store: Store,
    place: Path,
) -> None:
    """F45: lines that cannot be read end as `file_corrupt`, no worker dies, other batches go on."""

    async def told() -> None:
        await tale(World(store, place / "blobs", Random(7)), spoil)

    run_virtually(told())
