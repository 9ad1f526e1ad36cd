"""Each write of a worker fails once, twice, or for a while: everything is answered all the same."""

import asyncio
import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from batchyard.places.store import Store
from tests.stories.loop import run_virtually
from tests.stories.story import POINTS, TERMINAL, judge
from tests.stories.world import Worker, World

FAULTS: dict[str, Callable[[], Exception]] = {
    "EIO": lambda: OSError(errno.EIO, "Input/output error"),
    "ENOSPC": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "EINTR": lambda: InterruptedError(errno.EINTR, "Interrupted system call"),
    "lock": lambda: OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked")),
}
# The first moment that fails, and how many fail in a row.
WHEN = {"EIO": (1, 1), "ENOSPC": (2, 6), "EINTR": (2, 1), "lock": (1, 6)}
# Where something is written or about to be; what has been committed has no fault to tell.
WRITES = [point for point in POINTS if not point.endswith("after_commit")]


class Trouble:
    """What goes wrong: at the `first` moment that counts, and `times` in a row."""

    def __init__(self, fault: str, first: int, times: int) -> None:
        self._fault, self._first, self._last = FAULTS[fault], first, first + times - 1
        self.moments = 0

    def strike(self) -> None:
        """Count a moment, and fail if it is one of those."""
        self.moments += 1
        if self._first <= self.moments <= self._last:
            raise self._fault()


async def told(
    store: Store, folder: Path, plan: Callable[[Worker], object], *, cancel: bool
) -> World:
    """Two batches with one worker, of which one may be cancelled; both end as they must."""
    world = World(store, folder, Random(11))
    worker = world.bear()
    plan(worker)
    batches = [world.submit(name, 9, ("m", "n"), 10_000) for name in ("a", "b")]
    if cancel:
        await asyncio.sleep(0.4)
        world.records.cancel_batch("proj_story", batches[0].id, world.now())
        world.ring()
    for _ in range(600):
        if all(world.batch(one.id).status in TERMINAL for one in batches):
            break
        await asyncio.sleep(1.0)
    assert not world.crashes, world.crashes
    assert world.losses == 0
    statuses = [world.batch(one.id).status for one in batches]
    assert statuses[1] == "completed"
    assert statuses[0] in (("cancelled", "completed") if cancel else ("completed",))
    for one in batches:
        judge(world, world.batch(one.id))
    worker.stop.say("the story is over")
    await asyncio.sleep(10)
    return world


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", WRITES)
def test_a_fault_at_a_named_moment_is_outlived(
    fault: str, point: str, store: Store, place: Path
) -> None:
    """The disk or the database fails there, the first time or for a while; the worker lives."""
    trouble = Trouble(fault, *WHEN[fault])

    def plan(worker: Worker) -> None:
        worker.trouble = lambda name: trouble.strike() if name == point else None

    # Only a batch that is cancelled has a blob of its own to write.
    run_virtually(told(store, place / "blobs", plan, cancel="blob" in point))
    assert trouble.moments > 0


@pytest.mark.parametrize("when", ["read", "begin", "commit"])
@pytest.mark.parametrize("cancel", [False, True], ids=["run", "cancel"])
def test_a_fault_of_any_transaction_is_outlived(
    when: str, cancel: bool, store: Store, place: Path
) -> None:
    """Whichever one it is, at its beginning or its end: nothing is lost, doubled, or left."""
    number, moments = 1, 1
    while number <= moments:
        trouble = Trouble("lock", number, 2)

        def plan(worker: Worker, trouble: Trouble = trouble) -> None:
            troubled: Any = worker.shift._tools.work._store
            open_transactions(troubled, trouble, when)

        run_virtually(told(store, place / "blobs", plan, cancel=cancel))
        number, moments = number + 4, min(trouble.moments, 40)


def open_transactions(store: Any, trouble: Trouble, when: str) -> None:
    """Have the transactions of a store meet trouble."""
    reading, writing = store.reading, store.writing

    @contextmanager
    def read() -> Iterator[Connection]:
        if when == "read":
            trouble.strike()
        with reading() as connection:
            yield connection

    @contextmanager
    def write() -> Iterator[Connection]:
        if when == "begin":
            trouble.strike()
        with writing() as connection:
            yield connection
            if when == "commit":
                trouble.strike()

    store.reading, store.writing = read, write
