"""The way to an upstream, as a lane sees it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from batchyard.places.transport import Answer, Fault

__all__ = ["Sender", "Underway"]

T = TypeVar("T")


class Underway(Protocol):
    """A call that has not come back."""

    def cancel(self) -> None:
        """Give it up; nothing is heard of it any more."""


class Sender(Protocol):
    """The way to one upstream; the transport is one."""

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
    ) -> Underway:
        """Send a request; `done` is called later, once, with the ticket, unless cancelled.

        `deadline` is of the loop's clock. `fresh`: not on a connection that lies idle, whose other
        end may not live any more.
        """
        ...
