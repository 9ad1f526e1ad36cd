"""The thread on which everything that blocks is done, one call after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

__all__ = ["BlockingThread", "Inline", "Runner"]

P = ParamSpec("P")
T = TypeVar("T")


class Runner(Protocol):
    """Runs a synchronous function of the store or the blobs for a coroutine."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call returns, raise what it raises."""
        ...


class BlockingThread:
    """One thread: calls neither overtake each other nor hold up the event loop."""

    def __init__(self, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="blocking")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the call on the thread and wait for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(call, *args, **kwargs))

    def close(self) -> None:
        """Wait for the calls that are under way and end the thread."""
        self._pool.shutdown()


class Inline:
    """No thread: calls run where they stand, so that a seed decides everything."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the call at once."""
        return call(*args, **kwargs)
