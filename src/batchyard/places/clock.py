"""Where time comes from: the wall clock that objects show, the steady one that leases use."""

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Clock", "system_clock"]


class Clock(NamedTuple):
    """Two ways to ask the time, both in seconds.

    `wall` is Unix time and may jump; `steady` never goes back, and is the same for all
    processes of one machine.
    """

    wall: Callable[[], float]
    steady: Callable[[], float]


def system_clock() -> Clock:
    """The clock of this machine."""
    return Clock(wall=time.time, steady=time.monotonic)
