"""The supervisor, over processes that come and go."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from batchyard.config import Settings
from batchyard.server.supervisor import Supervisor
from batchyard.worker import Orders

Process = asyncio.subprocess.Process
begin = asyncio.create_subprocess_exec
# It lives until the supervisor has nothing more to say to it.
PATIENT = (sys.executable, "-c", "import sys; sys.stdin.read()")


class Chance:
    """Starts processes of which the first ones meet what a test chooses."""

    def __init__(self, *fates: str) -> None:
        self._fates = list(fates)
        self.lives = asyncio.Event()

    async def start(self, *_words: str, **pipes: Any) -> Process:
        """In place of `asyncio.create_subprocess_exec`."""
        fate = self._fates.pop(0) if self._fates else ""
        if fate == "refused":
            raise OSError(11, "Resource temporarily unavailable")
        process = await begin(*PATIENT, **pipes)
        if fate == "killed":
            psutil.Process(process.pid).kill()
            await process.wait()
            assert process.stdin is not None
            await process.stdin.wait_closed()
        else:
            self.lives.set()
        return process


@pytest.mark.parametrize("fate", ["killed", "refused"])
def test_a_worker_that_dies_before_it_is_spoken_to_is_replaced(
    fate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: each is told as lost, and the next one lives."""
    lost: list[str] = []

    def orders() -> Orders:
        return Orders(f"w{len(lost)}", "sqlite://", str(tmp_path), Settings())

    async def bury(name: str) -> None:
        lost.append(name)

    async def see() -> None:
        chance = Chance(fate, fate, fate)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", chance.start)
        supervisor = Supervisor(1, orders, bury)
        await supervisor.start()
        async with asyncio.timeout(20):
            await chance.lives.wait()
        supervisor.ring()
        assert lost == ["w0", "w1", "w2"]
        assert len(supervisor.pids) == 1
        await supervisor.stop(10.0)
        assert not supervisor.pids

    uvloop.run(see())
