"""How many downloads of one key run at once: each holds memory while its reader is slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchyard.wire.errors import ApiError

__all__ = ["Turnstile"]

_AT_ONCE_MAX = 32
# Who is let in when an earlier download ends need not ask again.
_WAIT_SECONDS_MAX = 10.0


class Turnstile:
    """Lets so many in at a time for each key; the others wait a moment, in the order they came."""

    def __init__(self) -> None:
        self._places: dict[str, asyncio.Semaphore] = {}
        # How many are in or wait.
        self._present: dict[str, int] = {}

    @asynccontextmanager
    async def place(self, key_id: str) -> AsyncIterator[None]:
        """Hold one of the places of a key; raises ApiError when none becomes free."""
        places = self._places.setdefault(key_id, asyncio.Semaphore(_AT_ONCE_MAX))
        self._present[key_id] = self._present.get(key_id, 0) + 1
        try:
            try:
                async with asyncio.timeout(_WAIT_SECONDS_MAX):
                    await places.acquire()
            except TimeoutError:
                raise _TOO_MANY from None
            try:
                yield
            finally:
                places.release()
        finally:
            self._present[key_id] -= 1
            if not self._present[key_id]:
                del self._present[key_id], self._places[key_id]


_TOO_MANY = ApiError(
    429,
    f"Rate limit reached for downloads: {_AT_ONCE_MAX} of this API key run at once already. Please "
    "try again when one of them has ended.",
    type="requests",
    code="rate_limit_exceeded",
    headers={"retry-after": "5", "x-should-retry": "true"},
)
