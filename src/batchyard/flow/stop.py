"""One reason to stop; the first wins."""

import asyncio

__all__ = ["Stop"]


class Stop:
    """Says once that it is over, and why."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._said = asyncio.Event()

    def say(self, reason: str) -> None:
        """Stop for this reason, unless there was one already."""
        if self._reason is None:
            self._reason = reason
            self._said.set()

    @property
    def reason(self) -> str | None:
        """Why it is over; None while it is not."""
        return self._reason

    async def wait(self) -> str:
        """Wait for the end and tell its reason."""
        await self._said.wait()
        assert self._reason is not None
        return self._reason
