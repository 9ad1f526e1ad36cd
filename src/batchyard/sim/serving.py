"""The simulated upstream as a running server: in this loop, or as a process of its own."""

import asyncio
import gc
import os
import signal
import sys
from typing import Any

import uvloop

from batchyard.places.clock import system_clock
from batchyard.places.machine import open_files_max
from batchyard.sim.ledger import Ledger
from batchyard.sim.options import SimOptions
from batchyard.sim.outbox import Outbox
from batchyard.sim.protocol import Connection, Shared
from batchyard.sim.site import Site

__all__ = ["Running", "run", "start"]

_BACKLOG = 8192


class Running:
    """A simulated upstream that listens; whoever started it closes it."""

    def __init__(
        self, server: asyncio.Server, open_ones: set[Connection], ledger: Ledger, host: str
    ) -> None:
        self.port: int = server.sockets[0].getsockname()[1]
        self._server = server
        self._open_ones = open_ones
        self._ledger = ledger
        self._host = f"[{host}]" if ":" in host else host

    @property
    def base_url(self) -> str:
        """What a client is given as base URL."""
        return f"http://{self._host}:{self.port}/v1"

    @property
    def stats(self) -> dict[str, Any]:
        """What `GET /sim/stats` says."""
        self._ledger.flush()
        return self._ledger.stats()

    async def close(self) -> None:
        """Stop listening, drop every client, complete the log."""
        self._server.close()
        await asyncio.gather(*(connection.abort() for connection in tuple(self._open_ones)))
        await self._server.wait_closed()
        self._ledger.close()


async def start(options: SimOptions) -> Running:
    """Listen in the running loop."""
    loop = asyncio.get_running_loop()
    clock = system_clock()
    ledger = Ledger(options.log, wall=clock.wall, loop=loop)
    site = Site(options, ledger, clock)
    open_ones: set[Connection] = set()
    shared = Shared(site.answer, ledger, Outbox(loop), loop, open_ones, {})
    server = await loop.create_server(
        lambda: Connection(shared),
        options.host,
        options.port,
        backlog=_BACKLOG,
    )
    return Running(server, open_ones, ledger, options.host)


def run(options: SimOptions, parent: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where, once it listens.

    `parent` is a pipe that only the parent process holds open: when it ends, the parent is gone,
    however it died, and so goes this process.
    """
    open_files_max()
    uvloop.run(_serve(options, parent))


async def _serve(options: SimOptions, parent: int | None) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if parent is not None:
        loop.add_reader(parent, _look_after, parent, over)
    running = await start(options)
    # What stands now lives to the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.stdout.write(f"simulated upstream on {running.base_url}\n")
    sys.stdout.flush()
    await over.wait()
    if parent is not None:
        loop.remove_reader(parent)
    await running.close()


def _look_after(parent: int, over: asyncio.Event) -> None:
    try:
        alive = os.read(parent, 1)
    except OSError:
        alive = b""
    if not alive:
        over.set()
        asyncio.get_running_loop().remove_reader(parent)
