"""The headers of every answer, and how an answer is sent that no route gives."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import Message, Receive, Send

__all__ = ["Answering"]

_DISCARDED_BYTES_MAX, _DISCARDING_SECONDS = 16 << 20, 2.0


class Answering:
    """Sends one answer with the headers that every answer has; more may be set before it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self.request_id = send, request_id
        self._began = time.perf_counter()
        self._started = False
        self.headers: dict[str, str] = {}
        self.client_request_id: str | None = None
        self.status: int | None = None

    def names(self) -> dict[str, object]:
        """What a log line says of this request, so that it can be found."""
        named: dict[str, object] = {"request_id": self.request_id, "status": self.status}
        if self.client_request_id is not None:
            named["client_request_id"] = self.client_request_id
        return named

    async def send(self, message: Message) -> None:
        """Pass a message of an answer on, with its headers completed."""
        if message["type"] == "http.response.start":
            self._started = True
            self.status = message["status"]
            milliseconds = int(1000 * (time.perf_counter() - self._began))
            message["headers"] = [
                *message.get("headers", ()),
                *((name.encode(), text.encode()) for name, text in self.headers.items()),
                # By this a server sees that it was given another for its upstream.
                (b"server", b"batchyard"),
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % milliseconds),
                (b"openai-version", b"2020-10-01"),
                (b"cache-control", b"no-store"),
            ]
        await self._send(message)

    async def whole(
        self, status: int, body: bytes, headers: Mapping[str, str], *, rest: Receive | None = None
    ) -> None:
        """Send all of an answer, unless one has begun already.

        With `rest`, the connection closes, and the body of the request may still be under way.
        """
        if self._started:
            return
        fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        if rest is not None:
            fields["connection"] = "close"
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), text.encode()) for name, text in fields.items()],
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": rest is not None})
        if rest is not None:
            await _discard(rest)
            await self.send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """Take no notice of a body for a while.

    Who still writes when the connection closes would never come to read the answer.
    """
    left_bytes = _DISCARDED_BYTES_MAX
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARDING_SECONDS):
            while left_bytes > 0:
                message = await receive()
                left_bytes -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return
