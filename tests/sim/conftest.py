"""What tests of the simulated upstream share: one that runs, and ways to ask it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from batchyard.sim import Running, SimOptions, start

Starting = Callable[[SimOptions], Awaitable[Running]]


@pytest.fixture
async def starting() -> AsyncIterator[Starting]:
    """A way to start simulated upstreams that end with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(options: SimOptions) -> Running:
            running = await start(options)
            stack.push_async_callback(running.close)
            return running

        yield start_one
