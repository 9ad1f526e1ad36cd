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


def block(blob: Path) -> None:
    """An input that is there and cannot be read, whoever asks: EISDIR."""
    blob.rename(blob.with_suffix(".away"))
    blob.mkdir()


def unblock(blob: Path) -> None:
    blob.rmdir()
    blob.with_suffix(".away").rename(blob)


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


async def unreadable_for_a_while(world: World) -> None:
    world.bear()
    blocked = world.submit("a", 4 * LINES, ("m",), 10_000)
    await until(lambda: world.batch(blocked.id).request_counts.completed > 0)
    block(world.folder / "inputs" / "a.0")
    for number in range(5):
        (other,) = await ended(world, world.submit(f"{number}", LINES, ("m",), 10_000))
        assert other.status == "completed"
    assert world.batch(blocked.id).status == "in_progress"
    unblock(world.folder / "inputs" / "a.0")
    (blocked,) = await ended(world, blocked)
    assert "file_corrupt" not in codes_of(world, blocked)


async def unreadable_for_good(world: World) -> None:
    world.bear()
    blocked = world.submit("a", 4 * LINES, ("m",), 10_000)
    await until(lambda: world.batch(blocked.id).request_counts.completed > 0)
    block(world.folder / "inputs" / "a.0")
    (blocked,) = await ended(world, blocked)
    assert blocked.status == "completed"
    assert "file_corrupt" in codes_of(world, blocked)


async def unreadable_before_it_is_validated(world: World) -> None:
    expires, cancelled = (world.submit(name, LINES, ("m",), 30) for name in "ab")
    for name in "ab":
        block(world.folder / "inputs" / f"{name}.0")
    world.bear()
    (whole,) = await ended(world, world.submit("c", LINES, ("m",), 10_000))
    assert whole.status == "completed"
    world.records.cancel_batch("proj_story", cancelled.id, world.now())
    world.ring()
    expires, cancelled = await ended(world, expires, cancelled)
    assert (expires.status, cancelled.status) == ("failed", "cancelled")
    assert expires.errors is not None
    assert [error.code for error in expires.errors.data] == ["file_corrupt"]
    assert expires.expires_at is not None
    assert world.clock.wall() - expires.expires_at < 30


async def unreadable_as_it_ends(world: World) -> None:
    world.bear()
    expires, cancelled = (world.submit(name, 4 * LINES, ("m",), 20) for name in "ab")
    await until(lambda: world.batch(cancelled.id).request_counts.completed > 0)
    for name in "ab":
        block(world.folder / "inputs" / f"{name}.0")
    world.records.cancel_batch("proj_story", cancelled.id, world.now())
    world.ring()
    expires, cancelled = await ended(world, expires, cancelled)
    assert (expires.status, cancelled.status) == ("expired", "cancelled")
    for batch in (expires, cancelled):
        lines = world.lines_of(batch.output_file_id) + world.lines_of(batch.error_file_id)
        assert len({line["id"] for line in lines}) == 4 * LINES


@pytest.mark.parametrize(
    "tale",
    [
        unreadable_for_a_while,
        unreadable_for_good,
        unreadable_before_it_is_validated,
        unreadable_as_it_ends,
    ],
    ids=lambda it: it.__name__,
)
def test_an_unreadable_input_is_its_own_batchs_matter(
    tale: Callable[[World], Awaitable[None]], store: Store, place: Path
) -> None:
    """Others get lines in the same turn; it is tried again for minutes, and ends without it."""

    async def told() -> None:
        world = World(store, place / "blobs", Random(7))
        world.upstream._trouble = 0.0
        await tale(world)
        assert (world.crashes, world.losses) == ([], 0)

    run_virtually(told())
