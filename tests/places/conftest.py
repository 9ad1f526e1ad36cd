"""What tests of places share: each asynchronous one runs on both event loops."""

import asyncio
from collections.abc import Callable

import uvloop

LoopFactories = dict[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories() -> LoopFactories:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
