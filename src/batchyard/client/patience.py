"""Waiting, and calls that are made again while their failure may pass."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from batchyard.client.provider import ProviderError
from batchyard.client.settings import Settings

__all__ = ["Patience"]

_BACKOFF_SECONDS_MAX = 120.0
# Who is looked at no more often than this is somebody else's, and is spared.
_HOSTED_SECONDS = 60.0
T = TypeVar("T")


class Patience:
    """Waits as a campaign's settings say, never all campaigns at the same moment."""

    def __init__(self, settings: Settings, chance: Random) -> None:
        self._settings, self._chance = settings, chance

    async def bear(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be made twice, again while its failure may pass."""
        number = 0
        while True:
            try:
                return await call()
            except ProviderError as error:
                number += 1
                if not error.transient or number >= self._settings.faults_max:
                    raise
            await self.back_off(number)

    async def back_off(self, number: int) -> None:
        """Wait before the next try, longer each time."""
        seconds = self._settings.poll_seconds / 10 * 2**number
        await self.wait(min(_BACKOFF_SECONDS_MAX, seconds))

    async def look_again(self, looked: int) -> None:
        """Wait until it is worth looking again; at a server of one's own that is soon at first."""
        seconds = self._settings.poll_seconds
        if seconds < _HOSTED_SECONDS:
            seconds = min(seconds, seconds / 50 * 1.5 ** min(looked, 20))
        await self.wait(seconds)

    async def wait(self, seconds: float) -> None:
        """Wait about so long."""
        await asyncio.sleep(seconds * self._chance.uniform(0.8, 1.2))
