"""A worker process: leases shards, has them answered, records the answers.

It is started by its server, which writes one line of settings to its standard input, then a byte
for every change that is worth a look; the end of that input is the order to stop. The worker
writes a `BELL` to its standard output when other workers should look, and a `BEAT` to say that it
lives.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import uvloop
from msgspec import Struct

from batchyard.config import Settings
from batchyard.flow.manning import open_lanes
from batchyard.flow.shift import Shift
from batchyard.flow.stop import Stop
from batchyard.flow.tools import ShiftRules, Tools
from batchyard.places.blobs import Blobs
from batchyard.places.clock import system_clock
from batchyard.places.database import BlockingThread
from batchyard.places.faults import reach_from
from batchyard.places.log import to_stderr
from batchyard.places.machine import disk_free_bytes, end_with_parent, open_files_max
from batchyard.places.prices import ListPrices
from batchyard.places.store import Identity, ServedModels, Store, Work, open_store
from batchyard.places.upstreams import Upstreams, open_upstreams
from batchyard.places.worker_locks import WorkerLocks
from batchyard.rules.limits import PROFILES, Limits, limits_of_project
from batchyard.rules.prices import find_price, hundredths
from batchyard.wire.money import Price

__all__ = ["BELL", "Orders", "main"]

BELL, BEAT = b"\n", b"."
# In the time in which silence means that a worker is frozen, it says so often that it lives.
_BEATS = 8


class Orders(Struct, frozen=True):
    """What a server tells its worker at the start.

    `locks` is the folder for the worker's lock, `wall` the time of the server's wall clock.
    """

    worker: str
    database_url: str
    blobs: str
    settings: Settings
    locks: str = ""
    wall: float = 0.0


def main() -> None:
    """Run one worker until its standard input ends or SIGTERM comes."""
    to_stderr()
    end_with_parent()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    # Held until the process ends, however it ends.
    lock = WorkerLocks(Path(orders.locks)).hold(orders.worker)
    open_files_max()
    # Lines live shortly and form no cycles; the collector need not look so often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    uvloop.run(_work(orders))
    lock.close()


async def _work(orders: Orders) -> None:
    settings = orders.settings
    clock = system_clock(not_before=orders.wall)
    reach = reach_from(os.environ)
    store = open_store(orders.database_url)
    identity = Identity(store)
    hot, heavy = BlockingThread(), BlockingThread()
    memory = ServedModels(store, hot, clock.wall)
    upstreams = Upstreams(open_upstreams(settings.upstream), clock.steady, memory=memory)
    tools = Tools(
        work=Work(store, reach),
        blobs=Blobs(Path(orders.blobs), reach),
        hot=hot,
        heavy=heavy,
        clock=clock,
        chance=Random(),
        limits=PROFILES[settings.profile],
        limits_of=lambda project_id: _limits(settings, identity, project_id),
        known_model=upstreams.known,
        price=_prices(settings, upstreams),
        free_bytes=partial(_free_bytes, Path(orders.blobs)),
        served_models=lambda: [one.id for one in upstreams.models()],
    )
    rules = ShiftRules(
        lease_seconds=settings.lease_seconds,
        cancel_grace_seconds=settings.cancel_grace_seconds,
        disk_free_bytes_min=settings.disk_free_bytes_min,
    )
    stop = Stop()
    shift = Shift(orders.worker, tools, rules, _tell)
    lanes = open_lanes(
        upstreams,
        land=shift.recorder.add,
        hungry=shift.hungry,
        quiet=shift.quiet,
        wall=clock.wall,
        chance=Random(),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.say, "SIGTERM")
    # The terminal sends these to all; the server will end this worker in its own order.
    for number in (signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    os.set_blocking(sys.stdout.fileno(), False)
    await _listen(shift, stop)
    beating = asyncio.create_task(_beat(store, settings.worker_silence_seconds / _BEATS))
    try:
        await shift.run(lanes, stop)
    finally:
        beating.cancel()
        await upstreams.aclose()
        heavy.close()
        hot.close()
        store.close()


def _free_bytes(blobs: Path) -> int:
    """The room for results and for the database, which may be on disks of their own."""
    return min(disk_free_bytes(blobs), disk_free_bytes(blobs.parent))


def _limits(settings: Settings, identity: Identity, project_id: str) -> Limits:
    default, project = PROFILES[settings.profile], identity.project(project_id)
    if project is None:
        return default
    return limits_of_project(default, project.profile, project.limits)


def _prices(settings: Settings, upstreams: Upstreams) -> Callable[[str], Price | None]:
    listed = ListPrices(
        lambda model: [upstreams[name].settings.url for name in upstreams.routes(model)]
    )

    def price(model: str) -> Price | None:
        own = find_price(model, settings.price)
        if own is not None or (hosted := listed.price(model)) is None:
            return own
        return msgspec.structs.replace(hosted, discount=hundredths(settings.batch_discount))

    return price


class _Bell(asyncio.Protocol):
    """The server's end of the bell rope."""

    def __init__(self, ring: Callable[[], None], stop: Stop) -> None:
        self._ring, self._stop = ring, stop

    def data_received(self, data: bytes) -> None:
        self._ring()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop.say("the server is gone")


def _tell(words: bytes = BELL) -> None:
    # A pipe that is full has said so already; one that is broken ends this worker by itself.
    with suppress(OSError):
        os.write(sys.stdout.fileno(), words)


async def _beat(store: Store, seconds: float) -> None:
    """Say that this worker lives, as long as no write of its own stays for longer than a beat."""
    before: Set[object] = frozenset()
    while True:
        writes = store.writes
        if writes.isdisjoint(before):
            _tell(BEAT)
        before = writes
        await asyncio.sleep(seconds)


async def _listen(shift: Shift, stop: Stop) -> None:
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: _Bell(shift.ring, stop), sys.stdin)


if __name__ == "__main__":
    main()
