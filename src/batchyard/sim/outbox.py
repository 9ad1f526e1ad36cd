"""Where answers wait for the end of the loop's round, to go out one right after the other."""

import asyncio
from typing import Protocol

__all__ = ["Outbox", "Writable"]


class Writable(Protocol):
    """A socket that answers are written to."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""

    def is_closing(self) -> bool:
        """Whether it is of no use any more."""


class Outbox:
    """Answers of one round, of all connections.

    Sent each on its own, every answer wakes a client that had nothing to do, which costs more than
    the answer; sent in a row, the first wakes it and the others find it awake.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: list[tuple[Writable, bytes]] = []

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
