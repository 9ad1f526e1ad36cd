"""Lines that end their workers, and the innocent beside them, on a virtual clock."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update

from batchyard.flow.keeping import HeldLease
from batchyard.places.store import Store, Work, workers
from batchyard.places.store.schema import shards
from batchyard.places.transport import Answer, Fault
from tests.stories.loop import run_virtually
from tests.stories.test_spoiled import codes_of, ended, until
from tests.stories.world import World

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LINES = 40


def deadly(world: World, guilty: set[str], after: float) -> None:
    """Whoever asks for one of these lines dies so long after it was sent."""
    world.upstream._trouble = 0.0
    real = world.upstream.behave
    loop = asyncio.get_running_loop()

    def behave(body: bytes) -> tuple[float, Answer | Fault | None]:
        found = real(body)
        if any(b'"%s"' % one.encode() in body for one in guilty):
            for worker in list(world.workers):
                loop.call_later(after, worker.kill)
            return after + 1.0, found[1]
        return found

    world.upstream.behave = behave  # type: ignore[method-assign]


async def lost(world: World, guilty: set[str], after: float) -> None:
    world.losses_max = 4
    deadly(world, guilty, after)
    world.bear()
    batches = [world.submit(name, LINES, ("m",), 100_000) for name in "abc"]
    done = await ended(world, *batches)
    failed = {
        line["custom_id"]
        for batch in done
        for line in world.lines_of(batch.error_file_id)
        if codes_of(world, batch) == {"worker_lost"}
    }
    assert failed == guilty
    assert sum(len(world.lines_of(batch.output_file_id)) for batch in done) == 3 * LINES - len(
        guilty
    )
    assert world.crashes == []
    # Two losses until its shard is watched, one or two as the group shrinks to one line, three of
    # this line alone, and a few while the store still took its lines for unsent.
    assert world.losses <= 12 * len(guilty), world.losses


@pytest.mark.parametrize("after", [0.0, 0.05, 1.5])
@pytest.mark.parametrize("guilty", [{"a-0"}, {"b-21"}, {"c-39"}, {"a-3", "c-17"}])
def test_only_the_line_that_ends_its_worker_is_given_up(
    guilty: set[str], after: float, store: Store, place: Path
) -> None:
    """At once or after a while, first or last, one of a batch or of two."""
    run_virtually(_in(store, place, lambda world: lost(world, guilty, after)))


async def killed_at_random(world: World) -> None:
    world.losses_max = 4
    world.upstream._trouble = 0.0
    for _ in range(2):
        world.bear()
    batches = [world.submit(f"{name}", LINES, ("m",), 100_000) for name in range(6)]
    for _ in range(21):
        await asyncio.sleep(world.chance.uniform(0.5, 3.0))
        if world.workers:
            world.chance.choice(world.workers).kill()
    done = await ended(world, *batches)
    assert all(batch.error_file_id is None for batch in done)
    assert world.crashes == []


@pytest.mark.parametrize("seed", range(8))
def test_random_kills_fail_no_line(seed: int, store: Store, place: Path) -> None:
    """Twenty-one deaths while six batches run."""
    run_virtually(_in(store, place, killed_at_random, seed))


async def nothing_is_sent(world: World) -> None:
    world.losses_max = 4
    world.upstream._trouble = 0.0
    world.upstream.down = True
    batch = world.submit("a", LINES, ("m",), 100_000)
    world.bear()
    for _ in range(12):
        await until(lambda: bool(world.workers and _held(world)))
        await asyncio.sleep(2.5)
        world.workers[0].kill()
    with world.store.reading() as connection:
        assert set(connection.execute(select(shards.c.losses)).scalars()) == {0}
    world.upstream.down = False
    (batch,) = await ended(world, batch)
    assert (batch.request_counts.completed, batch.error_file_id) == (LINES, None)


def test_a_shard_that_was_not_sent_takes_no_loss(store: Store, place: Path) -> None:
    """Leased for over two seconds while the upstream is down: whoever dies then harms nobody."""
    run_virtually(_in(store, place, nothing_is_sent))


async def losses_age(world: World) -> None:
    world.losses_max = 4
    world.upstream._trouble = 0.0
    real = world.upstream.behave
    world.upstream.behave = lambda body: (3.0, real(body)[1])  # type: ignore[method-assign]
    world.bear()
    batch = world.submit("a", 1, ("m",), 1_000_000)
    for deaths in range(8):
        await until(lambda: world.upstream.calls["a-0"] > deaths)  # noqa: B023
        await asyncio.sleep(1.0)
        world.upstream.down = True
        world.workers[0].kill()
        await asyncio.sleep(20.0)
        world.upstream.down = False
    (batch,) = await ended(world, batch)
    assert (batch.request_counts.completed, batch.error_file_id) == (1, None)


def test_losses_are_forgotten(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that die now and then do no harm to a slow line; here an hour takes ten seconds."""
    monkeypatch.setattr(workers, "LOSSES_FORGOTTEN_SECONDS", 10)
    run_virtually(_in(store, place, losses_age))


def _held(world: World) -> set[HeldLease]:
    feeder = getattr(world.workers[0].shift, "_feeder", None)
    return set(feeder.held) if feeder else set()


async def _in(
    store: Store, place: Path, tale: Callable[[World], Awaitable[None]], seed: int = 7
) -> None:
    await tale(World(store, place / "blobs", Random(seed)))


async def notes_fail(world: World) -> None:
    world.upstream._trouble = 0.0
    world.bear()
    batches = [world.submit(name, LINES, ("m",), 100_000) for name in "ab"]
    await until(lambda: bool(world.upstream.calls))
    with world.store.writing() as connection:
        connection.execute(update(shards).values(losses=2, lost_at=world.now()))
    world.workers[0].kill()
    real = Work.note_trial, Work.note_sent
    chance = Random(3)

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def fails(*args: Any) -> Any:
            if chance.random() < 0.5:
                raise OSError(errno.EIO, "no store")
            return call(*args)

        return fails

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "note_trial", failing(real[0]))
        patch.setattr(Work, "note_sent", failing(real[1]))
        done = await ended(world, *batches)
    assert all(batch.request_counts.completed == LINES for batch in done)
    assert world.crashes == []


def test_a_note_that_fails_loses_no_line(store: Store, place: Path) -> None:
    """What was to leave after it is kept, and leaves when the store can be written to again."""
    run_virtually(_in(store, place, notes_fail))
