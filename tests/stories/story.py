"""One story: batches, misfortunes, and what must be true at every moment and at the end."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

from batchyard.places.store import Store
from batchyard.wire.objects import Batch
from tests.stories.outbox import listen_to_ends, look_at_outbox
from tests.stories.quota import look_at_quota, set_quota
from tests.stories.usage import look_at_usage
from tests.stories.world import PROJECT, World

__all__ = ["POINTS", "tell"]

TERMINAL = ("completed", "failed", "expired", "cancelled")
# After the last misfortune, everything must have ended within so many seconds.
PATIENCE_SECONDS = 400.0
POINTS = (
    "blob.before_sync",
    "blob.before_rename",
    "blob.after_rename",
    "segment.before_sync",
    "segment.after_sync",
    "lease.after_commit",
    "populate.before_commit",
    "populate.after_commit",
    "record.before_commit",
    "record.after_commit",
    "finish.before_commit",
    "finish.after_commit",
)
_NEXT = {
    "validating": {"validating", "in_progress", "failed", "cancelling"},
    "in_progress": {"in_progress", "finalizing", "cancelling"},
    "cancelling": {"cancelling", "cancelled"},
    "finalizing": {"finalizing", "completed", "expired"},
}
_SHORTCUTS = {("validating", "cancelled"), ("in_progress", "completed"), ("in_progress", "expired")}


async def tell(seed: int, store: Store, folder: Path) -> World:
    """Tell the story of a seed; raises AssertionError where a promise is broken."""
    world = World(store, folder, Random(seed))
    chance = world.chance
    for _ in range(chance.choice((1, 1, 2, 3))):
        world.bear()
    set_quota(world)
    listen_to_ends(world)
    batches = []
    for number in range(chance.choice((1, 1, 2, 3))):
        models = chance.choice((("m",), ("m", "n")))
        window = chance.choice((5, 30, 10_000, 10_000, 10_000))
        batches.append(world.submit(f"{number}", chance.choice((1, 5, 17, 40)), models, window))
    watch = Watch(world, batches)
    for _ in range(chance.choice((0, 2, 5, 9))):
        await asyncio.sleep(chance.choice((0.0, 0.1, 0.3, 0.5, 1.0, 2.0)))
        misfortune(world, batches)
        watch.look()
    calm(world, batches)
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_SECONDS
    while not all(world.batch(one.id).status in TERMINAL for one in batches):
        assert loop.time() < until, "not ended long after the last misfortune"
        await asyncio.sleep(2.0)
        watch.look()
    watch.look()
    for worker in world.workers:
        worker.stop.say("the story is over")
    await asyncio.sleep(10)
    watch.look()
    for one in batches:
        judge(world, world.batch(one.id))
    assert not world.crashes, world.crashes
    return world


def misfortune(world: World, batches: list[Batch]) -> None:
    """Something happens that nobody asked for, or somebody changes their mind."""
    chance = world.chance
    worker = chance.choice(world.workers) if world.workers else None
    kind = chance.choice(
        ("kill", "kill", "point", "point", "freeze", "disk", "down", "cancel", "delete", "pause")
    )
    if kind == "cancel" and chance.random() < 0.5:
        world.records.cancel_batch(PROJECT, chance.choice(batches).id, world.now())
        world.ring()
    elif kind == "pause":
        one = chance.choice(batches)
        world.records.pause_batch(PROJECT, one.id, "user", world.now())
        world.ring()
        if chance.random() < 0.5:
            world.records.resume_batch(PROJECT, one.id)
            world.ring()
    elif kind == "delete" and chance.random() < 0.3:
        world.records.delete_file(PROJECT, chance.choice(batches).input_file_id, world.now())
    elif kind == "down":
        world.upstream.down = not world.upstream.down
    elif worker is not None and kind == "kill":
        worker.kill()
    elif worker is not None and kind == "point":
        worker.kill_at = (chance.choice(POINTS), chance.choice((1, 1, 2)))
    elif worker is not None and kind == "freeze":
        world.losses += 1
        worker.thaws = asyncio.get_running_loop().time() + chance.choice((1.0, 7.0, 20.0))
    elif worker is not None and kind == "disk":
        if chance.random() < 0.5:
            worker.disk_full = not worker.disk_full
        else:
            worker.disk_low = not worker.disk_low


def calm(world: World, batches: list[Batch]) -> None:
    """The last misfortune is over."""
    world.upstream.down = False
    for one in batches:
        world.records.resume_batch(PROJECT, one.id)
    world.ring()
    for worker in world.workers:
        worker.disk_full = worker.disk_low = False
        worker.kill_at = None


class Watch:
    """Looks at batches while they live: nothing may ever go back or change."""

    def __init__(self, world: World, batches: list[Batch]) -> None:
        self._world = world
        self._last = {one.id: one for one in batches}
        self._files: dict[str, bytes] = {}

    def look(self) -> None:
        """Compare every batch with what it was when last looked at."""
        for id, before in self._last.items():
            after = self._world.batch(id)
            reachable = _reachable(before.status)
            assert after.status in reachable, f"{before.status} became {after.status}"
            old, new = before.request_counts, after.request_counts
            assert old.completed <= new.completed, "completed went back"
            assert old.failed <= new.failed, "failed went back"
            assert new.completed + new.failed <= max(new.total, 0), "more results than lines"
            for name in Batch.__struct_fields__:
                if name.endswith("_at") and getattr(before, name) is not None:
                    assert getattr(before, name) == getattr(after, name), f"{name} changed"
            for file_id in (after.output_file_id, after.error_file_id):
                if file_id is not None:
                    assert after.status in TERMINAL, "a file id was shown too early"
                    seen = self._world.bytes_of(file_id)
                    assert self._files.setdefault(file_id, seen) == seen, "a file changed"
            self._last[id] = after
        look_at_quota(self._world)
        look_at_usage(self._world)
        look_at_outbox(self._world)


def _reachable(status: str) -> set[str]:
    found, new = {status}, {status}
    while new:
        new = {after for one in new for after in _NEXT.get(one, set())} - found
        found |= new
    return found


def judge(world: World, batch: Batch) -> None:
    """What a batch must be when it has ended."""
    counts = batch.request_counts
    if batch.status == "failed":
        assert batch.errors is not None
        assert (counts.total, counts.completed, counts.failed) == (0, 0, 0)
        return
    name = batch.id.removeprefix("batch_")
    output, errors = world.lines_of(batch.output_file_id), world.lines_of(batch.error_file_id)
    ids = Counter(line["custom_id"] for line in output + errors)
    if counts.total:
        assert set(ids) == {f"{name}-{i}" for i in range(counts.total)}, "lines lack or are foreign"
    assert all(times == 1 for times in ids.values()), "a line came twice"
    assert counts.completed == len(output), "completed is not the lines of the output file"
    never = [
        line
        for line in errors
        if (line["error"] or {}).get("code") in ("batch_expired", "batch_cancelled")
    ]
    assert counts.failed == len(errors) - len(never), "failed is not the lines that failed"
    for line in output:
        assert line["response"]["body"]["a"] == line["custom_id"], "an answer went to another line"
    assert batch.usage is None or batch.usage.total_tokens == len(output), "usage is not the sum"
    surplus = sum(times - 1 for asked, times in world.upstream.answered.items() if times > 1)
    # Per death: what was in flight (at most the width of two lanes), and a piece not yet recorded.
    # Beside that, what the lanes asked twice to see whether their upstream answers.
    asked_twice = sum(lane.surplus for lane in world.lanes)
    assert surplus <= world.losses * 60 + asked_twice, f"{surplus} surplus answers"
