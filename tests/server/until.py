"""Waiting for what is about to become true."""

import threading
import time
from collections.abc import Callable

__all__ = ["until"]

# A test that waits for longer is broken.
_PATIENCE_SECONDS = 20.0
_PAUSE = threading.Event()


def until(met: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < end, "it never came true"
        _PAUSE.wait(0.02)
