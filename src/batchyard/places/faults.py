"""Named moments at which a test may end the process or hold it; in real life nothing happens."""

import os
import signal
import time
from collections.abc import Callable, Mapping

__all__ = ["Reach", "nothing", "reach_from"]

Reach = Callable[[str], None]


def nothing(_name: str) -> None:
    """Pass by."""


def reach_from(environment: Mapping[str, str]) -> Reach:
    """Read BATCHYARD_FAULT=NAME, NAME:N or NAME:N:HOW: what happens at NAME, the Nth time.

    HOW is `kill`, to oneself; `freeze`, by SIGSTOP; or `hang`, which stops this thread alone.
    BATCHYARD_FAULT_ONCE names a file that is made then: where it is, nothing happens any more.
    """
    wanted, _, rest = environment.get("BATCHYARD_FAULT", "").partition(":")
    if not wanted:
        return nothing
    times, _, how = rest.partition(":")
    left = int(times or 1)
    once = environment.get("BATCHYARD_FAULT_ONCE")

    def reach(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0 and (once is None or _first(once)):
                _HOW[how or "kill"]()

    return reach


def _first(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _hang() -> None:
    while True:
        time.sleep(3600)


_HOW: Mapping[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": _hang,
}
