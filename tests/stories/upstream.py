"""A lying upstream for stories: it counts what it is asked, and does what the seed says."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TypeVar

from batchyard.places.transport import Answer, Fault

__all__ = ["Upstream", "Way"]

T = TypeVar("T")
# A coarse grid, so that events collide.
GRID = (0.0, 0.1, 0.1, 0.2, 0.5, 1.0)
_CUSTOM = re.compile(rb'"q":"([^"]+)"')


class Upstream:
    """One upstream, shared by all workers of a story."""

    def __init__(self, chance: Random, trouble: float) -> None:
        self._chance, self._trouble = chance, trouble
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.down = False

    def behave(self, body: bytes) -> tuple[float, Answer | Fault | None]:
        """How long this call takes and what comes of it; None is no answer at all."""
        found = _CUSTOM.search(body)
        assert found is not None, "a body came that no line has"
        asked = found[1].decode()
        if self.down:
            return 0.0, Fault("upstream_unreachable", "refused", sent=False)
        self.calls[asked] += 1
        delay = self._chance.choice(GRID)
        if self._chance.random() >= self._trouble:
            self.answered[asked] += 1
            return delay, Answer(200, [], b'{"a":"%b","usage":{"total_tokens":1}}' % asked.encode())
        return delay, self._chance.choice(
            [
                Answer(429, [(b"retry-after", b"1")], b'{"error":{}}'),
                Answer(429, [], b'{"error":{}}'),
                Answer(500, [], b"oops"),
                Answer(400, [], b'{"error":{"message":"no"}}'),
                Answer(200, [], b'{"cut":'),
                Fault("upstream_unreachable", "reset", sent=True),
                Fault("invalid_upstream_response", "no HTTP", sent=True),
                None,
            ]
        )


class Way:
    """One worker's way to the upstream; nothing comes back over it once the worker is dead."""

    def __init__(
        self, upstream: Upstream, alive: Callable[[], bool], thaws: Callable[[], float]
    ) -> None:
        self._upstream, self._alive, self._thaws = upstream, alive, thaws
        self._loop = asyncio.get_running_loop()

    def send(
        self,
        head: bytes,
        body: bytes,
        *,
        deadline: float,
        body_bytes_max: int,
        done: Callable[[T, Answer | Fault], None],
        ticket: T,
        fresh: bool = False,
    ) -> asyncio.TimerHandle:
        """Send a request, unless the worker is dead."""
        assert self._alive(), "a dead worker sent a request"
        assert head.endswith(b"\r\n\r\n")
        delay, outcome = self._upstream.behave(body)
        left = deadline - self._loop.time()
        if outcome is None or delay > left:
            delay, outcome = left, Fault("request_timeout", "too late", sent=True)
        return self._loop.call_later(delay, self._back, done, ticket, outcome)

    def _back(
        self, done: Callable[[T, Answer | Fault], None], ticket: T, outcome: Answer | Fault
    ) -> None:
        if not self._alive():
            return
        if self._thaws() > self._loop.time():
            self._loop.call_at(self._thaws(), self._back, done, ticket, outcome)
            return
        done(ticket, outcome)
