"""A bell in the data folder: whoever changes the store from outside tells the server to look."""

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from batchyard.places.log import log

__all__ = ["heed", "ring_at"]


async def heed(path: Path, *rings: Callable[[], None]) -> None:
    """Call all of `rings` whenever somebody rings at `path`, until cancelled.

    Where there can be no such pipe, nothing is heard; whoever listens looks by itself some time.
    """
    try:
        rope = _rope(path)
    except OSError as fault:
        log.warning("no_bell", path=str(path), fault=str(fault))
        await asyncio.Event().wait()
        return

    def heard() -> None:
        with suppress(BlockingIOError):
            os.read(rope, 4_096)
        for ring in rings:
            ring()

    loop = asyncio.get_running_loop()
    loop.add_reader(rope, heard)
    try:
        await asyncio.Event().wait()
    finally:
        loop.remove_reader(rope)
        os.close(rope)


def _rope(path: Path) -> int:
    with suppress(FileNotFoundError):
        if not stat.S_ISFIFO(path.lstat().st_mode):
            path.unlink()
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    # Opened for writing too, the pipe does not end when the one who rang goes away.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def ring_at(path: Path) -> bool:
    """Ring; False when nobody listens."""
    try:
        rope = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(rope).st_mode):
            return False
        # A pipe that is full has rung already.
        with suppress(BlockingIOError):
            os.write(rope, b"\n")
        return True
    except OSError:
        return False
    finally:
        os.close(rope)
