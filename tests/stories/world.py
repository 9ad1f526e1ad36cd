"""The world of one story: a real store, a real folder, workers that die, and who makes them."""

import asyncio
import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

import msgspec
from sqlalchemy import Connection, delete

from batchyard.flow.lanes import Gate, Lane, LaneRules
from batchyard.flow.routing import Lanes
from batchyard.flow.shift import Shift
from batchyard.flow.stop import Stop
from batchyard.flow.tools import ShiftRules, Tools
from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.contents import chunks_of, verify
from batchyard.places.store import Records, Store, Work
from batchyard.places.store.rows import FileRow, NewBatch, Part
from batchyard.places.store.schema import metadata
from batchyard.rules.limits import RELAXED
from batchyard.rules.scan import Scan
from batchyard.wire.objects import Batch
from tests.stories.upstream import Upstream, Way

__all__ = ["PROJECT", "Worker", "World"]

PROJECT = "proj_story"
LIMITS = msgspec.structs.replace(RELAXED, shard_lines=4)
EPOCH = 1_700_000_000
_EMPTY = [delete(table) for table in reversed(metadata.sorted_tables)]
P = ParamSpec("P")
T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing of it goes on."""


class Worker:
    """A worker with a life of its own, which may end at any moment or stand still for a while."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.dead = False
        self.thaws = 0.0
        self.kill_at: tuple[str, int] | None = None
        self.disk_full = self.disk_low = False
        # May raise at a named moment.
        self.trouble: Callable[[str], object] = lambda _name: None
        self._chance = Random(world.chance.random())
        tools = Tools(
            work=Work(_MortalStore(world.store, self), self.reach),
            blobs=Blobs(world.folder, self.reach),
            hot=self,
            heavy=self,
            clock=world.clock,
            chance=self._chance,
            limits=LIMITS,
            limits_of=lambda _project: LIMITS,
            known_model=lambda _model: True,
            price=lambda _model: None,
            free_bytes=lambda: 0 if self.disk_low else 1 << 30,
        )
        rules = ShiftRules(
            lease_seconds=6.0,
            cancel_grace_seconds=3.0,
            losses_max=world.losses_max,
            lines_held_max=40,
            disk_free_bytes_min=1 << 20,
        )
        self.shift = Shift(name, tools, rules)
        self.stop = Stop()
        self._life = asyncio.create_task(self._live())

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call of the store or the blobs, which takes its time."""
        await asyncio.sleep(self._chance.choice((0.0, 0.0, 0.01, 0.1)))
        await asyncio.sleep(max(0.0, self.thaws - asyncio.get_running_loop().time()))
        self.check()
        return call(*args, **kwargs)

    def check(self) -> None:
        """Raise where there is no life."""
        if self.dead:
            raise Killed

    def reach(self, name: str) -> None:
        """Pass a named moment, and perhaps die at it."""
        self.check()
        self.trouble(name)
        if self.disk_full and name in ("segment.before_sync", "blob.before_sync"):
            raise OSError(errno.ENOSPC, "no space left")
        if self.kill_at is not None and self.kill_at[0] == name:
            self.kill_at = (name, self.kill_at[1] - 1)
            if self.kill_at[1] <= 0:
                self.kill()
                raise Killed

    def kill(self) -> None:
        """End this life at once."""
        if not self.dead:
            self.dead = True
            self.world.mourn(self)
            self._life.cancel()

    async def _live(self) -> None:
        gate = Gate()

        def open_lane(_model: str, _route: str) -> Lane:
            way = Way(self.world.upstream, lambda: not self.dead, lambda: self.thaws)
            lane = Lane(
                way,
                lambda _path: b"POST / HTTP/1.1\r\ncontent-length: ",
                self.shift.recorder.add,
                rules=LaneRules(
                    timeout_seconds=4.0,
                    start=2,
                    ceiling=8,
                    gather_seconds=self._chance.choice((0.0, 0.001)),
                ),
                gate=gate,
                wall=self.world.clock.wall,
                chance=self._chance,
                hungry=self.shift.hungry,
                quiet=self.shift.quiet,
            )
            self.world.lanes.append(lane)
            return lane

        async def look() -> None:
            await asyncio.sleep(0)

        lanes = Lanes(lambda _model: ["only"], open_lane, look, gate=gate)
        try:
            await self.shift.run(lanes, self.stop)
        except (Killed, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001
            self.world.crashes.append(error)
            self.kill()


class World:
    """Everything that outlives a worker."""

    def __init__(self, store: Store, folder: Path, chance: Random) -> None:
        self.store, self.folder, self.chance = store, folder, chance
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with store.writing() as connection:
            for empty in _EMPTY:
                connection.execute(empty)
        loop = asyncio.get_running_loop()
        self.clock = Clock(wall=lambda: EPOCH + loop.time(), steady=loop.time)
        self.records, self.work = Records(store), Work(store)
        self.blobs = Blobs(folder)
        self.upstream = Upstream(chance, trouble=chance.choice((0.0, 0.1, 0.4)))
        self.workers: list[Worker] = []
        self.lanes: list[Lane] = []
        # Deaths and long sleeps: each may cost calls that have to be made again.
        self.losses = 0
        # No line is given up in a story, unless it is about just that.
        self.losses_max = 1_000
        self.crashes: list[Exception] = []
        self._born = 0
        self._cradles: set[asyncio.Task[None]] = set()

    def now(self) -> int:
        """Unix time in whole seconds."""
        return int(self.clock.wall())

    def bear(self) -> Worker:
        """A new worker."""
        self._born += 1
        worker = Worker(self, f"w{self._born:03d}")
        self.workers.append(worker)
        return worker

    def mourn(self, worker: Worker) -> None:
        """A worker has died: another comes after a while; its leases are freed then, or expire."""
        self.losses += 1
        self.workers.remove(worker)
        follow = asyncio.create_task(self._replace(worker, told=self.chance.random() < 0.7))
        self._cradles.add(follow)
        follow.add_done_callback(self._cradles.discard)

    async def _replace(self, dead: Worker, *, told: bool) -> None:
        await asyncio.sleep(self.chance.choice((0.0, 0.1, 1.0)))
        if told:
            self.work.bury(0.0, also=[dead.name])
        self.bear()
        self.ring()

    def ring(self) -> None:
        """Tell all workers that something changed."""
        for worker in self.workers:
            worker.shift.ring()

    def submit(
        self,
        name: str,
        lines: int,
        models: tuple[str, ...],
        window: int,
        *,
        project: str = PROJECT,
        priority: int = 0,
    ) -> Batch:
        """Upload a file and create a batch of it."""
        text = b"".join(_line(f"{name}-{i}", models[i % len(models)]) for i in range(lines))
        scan = Scan(LIMITS)
        scan.feed(text)
        # Files of 17 lines came in parts, whose borders are those of no line.
        cuts = (0, len(text) // 7, len(text) // 2, len(text)) if lines == 17 else (0, len(text))
        parts = [
            self._written(f"inputs/{name}.{start}", text[start:end])
            for start, end in pairwise(cuts)
        ]
        file = FileRow(
            id=f"file-{name}",
            project_id=project,
            purpose="batch",
            filename=f"{name}.jsonl",
            size_bytes=len(text),
            sha256=sha256(text).hexdigest(),
            created_at=self.now(),
            parts=tuple(parts),
            digest=msgspec.json.encode(scan.finish()),
        )
        self.records.add_file(file)
        batch = self.records.add_batch(
            NewBatch(
                id=f"batch_{name}",
                project_id=project,
                endpoint="/v1/embeddings",
                input_file_id=file.id,
                completion_window="24h",
                created_at=self.now(),
                expires_at=self.now() + window,
                line_id_prefix=f"batch_req_{name:0>24}",
                priority=priority,
            )
        )
        self.ring()
        return batch

    def _written(self, blob: str, text: bytes) -> Part:
        writing = self.blobs.create(blob)
        writing.write(text)
        return Part(blob, len(text), writing.commit())

    def batch(self, id: str) -> Batch:
        """A batch as the API shows it now."""
        batch = self.records.batch(PROJECT, id)
        assert batch is not None
        return batch

    def lines_of(self, file_id: str | None) -> list[dict[str, Any]]:
        """The lines of a result file."""
        return [json.loads(line) for line in self.bytes_of(file_id).splitlines()]

    def bytes_of(self, file_id: str | None) -> bytes:
        """The bytes of a result file."""
        if file_id is None:
            return b""
        content = self.records.content(PROJECT, file_id, self.now())
        assert content is not None
        verify(self.blobs, content)
        return b"".join(chunks_of(self.blobs, content.parts))


class _MortalStore(Store):
    """The store as one worker reaches it, as long as it lives."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._real, self._worker = store, worker

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self._worker.check()
        with self._real.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._worker.check()
        with self._real.writing() as connection:
            yield connection


def _line(custom_id: str, model: str) -> bytes:
    body = f'{{"model":"{model}","input":"x","q":"{custom_id}"}}'
    return (
        f'{{"custom_id":"{custom_id}","method":"POST","url":"/v1/embeddings","body":{body}}}\n'
    ).encode()
