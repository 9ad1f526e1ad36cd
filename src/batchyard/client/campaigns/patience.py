"""Waiting, and calls that are made again while their failure may pass."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from batchyard.client.apis.provider import ProviderError
from batchyard.client.campaigns.settings import Settings

__all__ = ["Patience"]

_BACKOFF_SECONDS_MAX = 120.0
# A wait is so much shorter or longer by chance; what a server asks for is not cut by that.
_LEAST = 0.8
_NEVER_EARLIER = 1 / _LEAST
# A server that has answered once is waited for so much longer: by then it is no wrong address.
_KNOWN = 10
# Who is looked at no more often than this is somebody else's, and is spared.
_HOSTED_SECONDS = 60.0
T = TypeVar("T")


class Patience:
    """Waits as a campaign's settings say, never all campaigns at the same moment.

    `tell` hears of each failure that is waited out.
    """

    def __init__(
        self,
        settings: Settings,
        chance: Random,
        tell: Callable[[ProviderError], object] = lambda _error: None,
    ) -> None:
        self._settings, self._chance, self._tell = settings, chance, tell
        self._has_answered = False

    async def bear(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be made twice, again while its failure may pass."""
        number = 0
        while True:
            try:
                answer = await call()
            except ProviderError as error:
                number = 0 if error.got_on else number + 1
                if self.ends(error, number):
                    raise
                self._tell(error)
                fault = error
            else:
                self._has_answered = True
                return answer
            await self.back_off(number, fault)

    def ends(self, error: ProviderError, number: int) -> bool:
        """Whether a call that has failed so often is not made again."""
        most = self._settings.faults_max * (_KNOWN if self._has_answered else 1)
        return not error.transient or number >= most

    async def back_off(self, number: int, error: ProviderError) -> None:
        """Wait before the next try: longer each time, and never less than the server asks for."""
        asked = error.pause_seconds
        if asked is None:
            await self.wait(self._pause(number))
        else:
            # Who asks for a moment at first, and again and again, needs longer.
            own = self._pause(number - 1) if number > 1 else 0.0
            await self.wait(max(asked * _NEVER_EARLIER, own))

    def _pause(self, number: int) -> float:
        seconds = self._settings.poll_seconds / 10 * 2.0 ** min(number, 32)
        return min(_BACKOFF_SECONDS_MAX, seconds)

    async def look_again(self, looked: int) -> None:
        """Wait until it is worth looking again; at a server of one's own that is soon at first."""
        seconds = self._settings.poll_seconds
        if seconds < _HOSTED_SECONDS:
            seconds = min(seconds, seconds / 50 * 1.5 ** min(looked, 20))
        await self.wait(seconds)

    async def wait(self, seconds: float) -> None:
        """Wait about so long."""
        await asyncio.sleep(seconds * self._chance.uniform(_LEAST, 2 - _LEAST))
