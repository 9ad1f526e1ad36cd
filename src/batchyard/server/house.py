"""A whole server: its store, its workers, its doors, and what keeps it in order."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

from batchyard.config import Settings
from batchyard.flow.outbox import Pump
from batchyard.places.bell import heed
from batchyard.places.blobs import Blobs
from batchyard.places.clock import system_clock
from batchyard.places.database import BlockingThread
from batchyard.places.faults import reach_from
from batchyard.places.folder import DataFolder
from batchyard.places.log import log
from batchyard.places.posting import Posting
from batchyard.places.store import Identity, Outbox, Records, ServedModels, Store, Webhooks, Work
from batchyard.places.upstreams import Upstream, Upstreams
from batchyard.rules.addresses import Fence
from batchyard.rules.limits import PROFILES
from batchyard.rules.readiness import Readiness, UpstreamState, readiness
from batchyard.server.app import build_app
from batchyard.server.condition import Condition
from batchyard.server.http import make_server
from batchyard.server.installation import Installation
from batchyard.server.supervisor import Supervisor
from batchyard.server.upkeep import Upkeep
from batchyard.server.yard import Yard
from batchyard.wire.models import ModelList
from batchyard.worker import Orders

__all__ = ["House"]

# Together well below the ten seconds in which SIGTERM must have ended everything.
_WORKER_GRACE_SECONDS = 6.0
# Webhooks that are tested have a way out of their own, and take no room from deliveries.
_DELIVERIES_AT_ONCE_MAX, _TESTS_AT_ONCE_MAX = 32, 8
_DISK_THREADS = 8
# Whoever asks whether the server is ready waits no longer for an upstream than this.
_READINESS_SECONDS = 1.0
_LOOP_AGAIN_SECONDS = 10.0


class House:
    """Everything of one server; it alone has the data folder."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        store: Store,
        upstreams: Sequence[Upstream],
        installation: Installation,
    ) -> None:
        self._settings, self._folder = settings, folder
        reach = reach_from(os.environ)
        self._work, records = Work(store), Records(store, reach)
        self._clock = system_clock(not_before=records.newest_time())
        # What uploads may not take is for answers, and for the database: a batch can be cancelled
        # on a disk that is full for everybody else.
        blobs = Blobs(folder.blobs, reach, reserve_bytes=settings.disk_free_bytes_min)
        self._threads, self._pages = BlockingThread(), BlockingThread()
        self._disk = BlockingThread(_DISK_THREADS)
        self._upkeep = Upkeep(
            records, blobs, self._threads, self._clock, disk=self._disk, installation=installation
        )
        memory = ServedModels(store, self._threads, self._clock.wall)
        self._upstreams = Upstreams(upstreams, self._clock.steady, memory=memory, log=log)
        chance = secrets.SystemRandom()
        fence = Fence(settings.webhook_hosts, settings.webhook_private)
        self._outbox = Outbox(store)
        self._pump = Pump(
            self._outbox,
            _posting(fence, _DELIVERIES_AT_ONCE_MAX),
            self._threads,
            self._clock,
            chance,
            reach=reach,
        )
        self._condition = Condition(
            folder,
            store,
            self._threads,
            self._clock.wall,
            free_bytes_min=settings.disk_free_bytes_min,
        )
        self._supervisor = Supervisor(settings.workers, self._orders, self._bury, self._pump.ring)
        self._yard = Yard(
            records=records,
            identity=Identity(store),
            webhooks=Webhooks(store),
            fence=fence,
            posting=_posting(fence, _TESTS_AT_ONCE_MAX),
            blobs=blobs,
            limits=PROFILES[settings.profile],
            clock=self._clock,
            chance=chance,
            store=self._threads,
            pages=self._pages,
            disk=self._disk,
            ring=self._changed,
            models=self._models,
            settings=settings,
            readiness=self._readiness,
        )

    async def look(self, seconds: float) -> None:
        """Ask the upstreams what they serve; who has not answered by then is waited for no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._upstreams.look()

    async def serve(
        self, listening: socket.socket, stop: asyncio.Event, *, ready: Callable[[], None]
    ) -> None:
        """Serve until stopped, then end all in order; `ready` is called once it serves."""
        self._put_right()
        server = make_server(build_app(self._yard))
        self._upstreams.watch(self._supervisor.ring)
        await self._supervisor.start()
        serving = asyncio.create_task(server.serve([listening]))
        ready()
        heeding = heed(self._folder.bell, self._changed, self._pump.ring)
        ended = await _until_one_ends(
            serving,
            _go_on("upkeep", self._upkeep.run),
            _go_on("webhooks", self._pump.run),
            heeding,
            stop.wait(),
        )
        server.should_exit = True
        ended += await asyncio.gather(
            serving, self._supervisor.stop(_WORKER_GRACE_SECONDS), return_exceptions=True
        )
        await self._upstreams.aclose()
        self._disk.close()
        self._threads.close()
        self._pages.close()
        for fault in ended:
            if isinstance(fault, Exception):
                raise fault

    async def _readiness(self) -> Readiness:
        """What the storage, the workers and the upstreams say now, without waiting long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_READINESS_SECONDS):
                await self._upstreams.look()
        states = {
            upstream.name: UpstreamState(upstream.state, upstream.detail)
            for upstream in self._upstreams.each()
        }
        return readiness(await self._condition.troubles(), len(self._supervisor.pids), states)

    def _put_right(self) -> None:
        """Free what a server that died had in hand, and hold what is kept against the rows.

        None of its workers lives any more: the folder was taken only after they had ended.
        """
        self._work.bury_all()
        self._outbox.free(self._clock.wall())
        if wrong := self._work.audit_quota(int(self._clock.wall())):
            log.error("quota_differed", rows=wrong)

    def _orders(self) -> Orders:
        return Orders(
            secrets.token_hex(8),
            self._folder.database_url,
            str(self._folder.blobs),
            self._settings,
            str(self._folder.workers),
            self._clock.wall(),
        )

    async def _bury(self, worker: str) -> None:
        try:
            await self._threads.run(self._work.bury, 0.0, also=[worker])
        except self._work.faults as fault:
            # What it held is free when its lease is over.
            log.error("store_unavailable", worker=worker, fault=str(fault))

    def _changed(self) -> None:
        self._supervisor.ring()
        self._upkeep.ring()

    async def _models(self) -> ModelList:
        await self._upstreams.look()
        return ModelList(tuple(self._upstreams.models()), any_model=self._upstreams.takes_any)


def _posting(fence: Fence, at_once_max: int) -> Posting:
    return Posting(
        lambda one: fence.lets(one.scheme, one.host, one.port, one.ip), at_once_max=at_once_max
    )


async def _go_on(name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run what is to run as long as the server does; a fault in it ends nothing but itself."""
    while True:
        try:
            await run()
        except Exception:
            # A broken promise: faults of the disk and the store are met where they happen.
            log.exception("loop_failed", loop=name)
        await asyncio.sleep(_LOOP_AGAIN_SECONDS)


async def _until_one_ends(
    serving: asyncio.Task[None], *others: Coroutine[None, None, object]
) -> list[object]:
    """Run until the server or one of the others ends; all but the server are ended then."""
    running = [asyncio.create_task(one) for one in others]
    await asyncio.wait((serving, *running), return_when=asyncio.FIRST_COMPLETED)
    for one in running:
        one.cancel()
    return await asyncio.gather(*running, return_exceptions=True)
