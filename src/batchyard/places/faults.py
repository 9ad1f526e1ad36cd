"""Named moments at which a test may end the process; in real life nothing happens at them."""

import os
import signal
from collections.abc import Callable, Mapping

__all__ = ["Reach", "nothing", "reach_from"]

Reach = Callable[[str], None]


def nothing(_name: str) -> None:
    """Pass by."""


def reach_from(environment: Mapping[str, str]) -> Reach:
    """Read BATCHYARD_FAULT=NAME or NAME:N: SIGKILL to oneself when NAME is reached the Nth time."""
    wanted, _, times = environment.get("BATCHYARD_FAULT", "").partition(":")
    if not wanted:
        return nothing
    left = int(times or 1)

    def reach(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach
