"""Starts workers, rings their bells, and starts anew those that were lost or stand still."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from batchyard.places.log import log
from batchyard.worker import BELL, Orders

__all__ = ["Supervisor"]

# A worker that was lost is started again after so long, doubling while it is lost at once.
_RESTART_SECONDS = (0.05, 10.0)
_LIVED_LONG_SECONDS = 10.0
# Silence is listened to in spells: when the server itself stood still, one of them is over at once,
# though its workers may have stood still with it, or have spoken meanwhile.
_SILENT_SPELLS = 4


class Supervisor:
    """Keeps worker processes running until stopped.

    `orders` makes the orders for a new worker; `lost` is told the name of one that has gone;
    `heard` is called when a worker says that it has changed something. One that has spoken once
    and then says nothing for the time of its settings is killed: frozen within a write it would
    stop all others.
    """

    def __init__(
        self,
        count: int,
        orders: Callable[[], Orders],
        lost: Callable[[str], Awaitable[object]],
        heard: Callable[[], object] = lambda: None,
    ) -> None:
        self._count, self._orders, self._lost, self._heard = count, orders, lost, heard
        self._workers: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers and keep them running."""
        self._keepers = [asyncio.create_task(self._keep_one()) for _ in range(self._count)]

    def ring(self, but: str | None = None) -> None:
        """Tell the workers that something changed."""
        for name, process in self._workers.items():
            if name != but:
                _say(process, b"\n")

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of the workers that run now."""
        return [process.pid for process in self._workers.values()]

    async def stop(self, grace_seconds: float) -> None:
        """Let the workers give back what they hold; kill those that take longer."""
        self._stopping.set()
        for process in self._workers.values():
            if process.stdin is not None:
                process.stdin.close()
        _, late = await asyncio.wait(self._keepers, timeout=grace_seconds)
        for process in self._workers.values():
            if process.returncode is None:
                process.kill()
        if late:
            await asyncio.wait(late)

    async def _keep_one(self) -> None:
        loop = asyncio.get_running_loop()
        delay, most = _RESTART_SECONDS
        while not self._stopping.is_set():
            began = loop.time()
            orders = self._orders()
            try:
                code: int | str = await self._run_one(orders)
            except OSError as fault:
                # No memory or no process number to be had: that may pass.
                code = str(fault)
            if self._stopping.is_set():
                return
            log.warning("worker_lost", worker=orders.worker, code=code)
            await self._lost(orders.worker)
            self.ring()
            if loop.time() - began > _LIVED_LONG_SECONDS:
                delay = _RESTART_SECONDS[0]
            try:
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            except TimeoutError:
                delay = min(most, delay * 2)

    async def _run_one(self, orders: Orders) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "batchyard.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        _say(process, msgspec.json.encode(orders) + b"\n")
        self._workers[orders.worker] = process
        try:
            async for words in _heard_of(process, orders):
                if BELL in words:
                    self.ring(but=orders.worker)
                    self._heard()
            return await process.wait()
        finally:
            del self._workers[orders.worker]


async def _heard_of(process: asyncio.subprocess.Process, orders: Orders) -> AsyncIterator[bytes]:
    """What a worker says until it has gone; it is killed when it says nothing for too long."""
    assert process.stdout is not None
    patience: float | None = None
    spells = 0
    while True:
        try:
            async with asyncio.timeout(patience):
                words = await process.stdout.read(4096)
        except TimeoutError:
            spells += 1
            if spells == _SILENT_SPELLS:
                log.error("worker_silent", worker=orders.worker, pid=process.pid)
                process.kill()
                patience = None
            continue
        if not words:
            return
        spells, patience = 0, orders.settings.worker_silence_seconds / _SILENT_SPELLS
        yield words


def _say(process: asyncio.subprocess.Process, words: bytes) -> None:
    assert process.stdin is not None
    # A worker may be gone before it is spoken to; uvloop calls that a RuntimeError.
    if not process.stdin.is_closing():
        with suppress(RuntimeError):
            process.stdin.write(words)
