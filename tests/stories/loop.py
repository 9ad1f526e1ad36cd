"""An event loop on which time passes only when nobody has anything to do."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["StuckError", "VirtualLoop", "run_virtually"]

T = TypeVar("T")


class StuckError(Exception):
    """Nobody waits for a moment any more, and yet it is not over."""


class _Selector:
    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StuckError
        self._loop.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer when all that could run has run."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Selector(self)

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        raise AssertionError("no thread may take part in a story")


def run_virtually(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _loop, _event: None)
    try:
        return loop.run_until_complete(story)
    finally:
        for waiting in asyncio.all_tasks(loop):
            waiting.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
