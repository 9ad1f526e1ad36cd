"""Makes a call of a verb again while that may help; a campaign has more patience."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from batchyard.client.apis.provider import ProviderError

__all__ = ["FAULTS_MAX", "pause", "persist"]

FAULTS_MAX = 4
_PAUSE_SECONDS = 0.25
T = TypeVar("T")


async def persist(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that may be made twice, again where it gets on, or fails for a moment."""
    faults = 0
    while True:
        try:
            return await call()
        except ProviderError as error:
            faults = 0 if error.got_on else faults + 1
            if not error.transient or faults >= FAULTS_MAX:
                raise
            await pause(error, faults)


async def pause(error: ProviderError, faults: int) -> None:
    """Wait before the next try, as the server asks for or longer each time."""
    asked = error.pause_seconds
    await asyncio.sleep(_PAUSE_SECONDS * 2.0**faults if asked is None else asked)
