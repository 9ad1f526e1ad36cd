"""Where answers wait: for the end of the loop's round, or for the moment they are due."""

import asyncio
import math
from typing import Protocol

__all__ = ["Late", "Outbox", "Writable"]

# A clock of whole milliseconds, read as a fraction of seconds, is off by less than that.
_JITTER_MS = 0.001


class Writable(Protocol):
    """A socket that answers are written to."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""

    def is_closing(self) -> bool:
        """Whether it is of no use any more."""


class Late(Protocol):
    """Whoever has an answer that is not due yet."""

    def fall_due(self) -> None:
        """Give the answer."""


class Outbox:
    """Answers of one round, of all connections, and those to come.

    Sent each on its own, every answer wakes a client that had nothing to do, which costs more than
    the answer; sent in a row, the first wakes it and the others find it awake. For the same reason
    answers that are due in the same millisecond have one timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: list[tuple[Writable, bytes]] = []
        self._due: dict[int, dict[Late, None]] = {}

    def put(self, socket: Writable, answer: bytes) -> None:
        """Send the answer at the end of this round."""
        if not self._answers:
            self._loop.call_soon(self.flush)
        self._answers.append((socket, answer))

    def flush(self) -> None:
        """Send everything now, for whoever writes or closes past the outbox."""
        answers, self._answers = self._answers, []
        for socket, answer in answers:
            if not socket.is_closing():
                socket.write(answer)

    def hold(self, late: Late, seconds: float) -> dict[Late, None]:
        """Call `late` in so many seconds; whoever leaves before takes itself out of these."""
        moment_ms = math.ceil((self._loop.time() + seconds) * 1e3 - _JITTER_MS)
        held = self._due.get(moment_ms)
        if held is None:
            held = self._due[moment_ms] = {}
            self._loop.call_at(moment_ms / 1e3, self._release, moment_ms)
        held[late] = None
        return held

    def _release(self, moment_ms: int) -> None:
        for late in self._due.pop(moment_ms):
            late.fall_due()
