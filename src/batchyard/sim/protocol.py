"""One client's connection: reads requests, keeps their order, writes or breaks the answers."""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol, runtime_checkable

import httptools
import structlog

from batchyard.sim.breakage import BREAKAGES
from batchyard.sim.ledger import KEY_HEADER, Ledger
from batchyard.sim.messages import Reply, Request, render
from batchyard.sim.outbox import Outbox
from batchyard.wire.errors import ApiError

__all__ = ["Connection"]

log = structlog.get_logger()

_CONTENT_TYPE, _EXPECT = b"content-type", b"expect"
_HEADERS_KEPT = frozenset({KEY_HEADER, _CONTENT_TYPE, _EXPECT})


@runtime_checkable
class _Socket(Protocol):
    """What a connection needs of its transport; uvloop's is no asyncio.Transport by name."""

    def write(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool: ...


class Connection(asyncio.Protocol):
    """The protocol of one socket.

    Requests that come while one is being answered wait for their turn.
    """

    _transport: _Socket

    def __init__(
        self,
        answer: Callable[[Request], Reply],
        ledger: Ledger,
        outbox: Outbox,
        open_ones: set["Connection"],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._answer = answer
        self._ledger = ledger
        self._outbox = outbox
        self._open_ones = open_ones
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._now: Request | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._breaking: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def abort(self) -> None:
        """Close at once, in the middle of whatever it is, and wait until that is done."""
        self._transport.abort()
        await self._gone.wait()
        if self._breaking is not None:
            await asyncio.wait([self._breaking])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: a client is here."""
        assert isinstance(transport, _Socket)
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._open_ones.add(self)
        self._ledger.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio: the client has left, or we have closed."""
        self._open_ones.discard(self)
        self._ledger.connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        if self._breaking is not None:
            self._breaking.cancel()
        elif self._now is not None:
            self._ledger.end(self._now, "left")
        for request, _ in self._waiting:
            self._ledger.end(request, "left")
        self._waiting.clear()
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        """From asyncio: parse what came; whole requests are answered while this runs."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A mistake of ours, which the loop is to report.
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(f"This is not HTTP/1.1: {error}.")

    def pause_writing(self) -> None:
        """From asyncio: the client does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """From asyncio: the client has caught up."""
        self._writable.set()

    def on_url(self, url: bytes) -> None:
        """From the parser: a part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """From the parser: a header."""
        name = name.lower()
        if name in _HEADERS_KEPT:
            self._headers[name] = value
            if name == _EXPECT:
                self._outbox.flush()
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """From the parser: a part of the body."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """From the parser: the request is whole."""
        body = b"".join(self._parts)
        path, headers = self._url.partition(b"?")[0], self._headers
        self._url, self._headers, self._parts = b"", {}, []
        request = Request(
            self._parser.get_method().decode(),
            path.decode("latin-1"),
            headers,
            body,
            sha256(body).digest(),
            self._loop.time(),
        )
        self._ledger.begin(request)
        keep_alive = self._parser.should_keep_alive()
        if self._now is None:
            self._begin(request, keep_alive)
        else:
            self._waiting.append((request, keep_alive))

    def _begin(self, request: Request, keep_alive: bool) -> None:
        self._now = request
        try:
            reply = self._answer(request)
        except Exception:
            # A mistake of the simulation, not a simulated fault: one request is enough for it.
            log.exception("sim_failed", path=request.path)
            error = ApiError(500, "The simulation itself failed.", type="server_error")
            reply = Reply(error.body(), 500)
        if reply.fault is not None and reply.is_broken:
            # Logged before it happens: who sees the fault finds it in the log.
            self._ledger.end(request, reply.fault)
            self._breaking = self._loop.create_task(self._break(reply.fault, reply))
        elif reply.delay_seconds > 0:
            self._timer = self._loop.call_later(
                reply.delay_seconds, self._finish_late, request, reply, keep_alive
            )
        else:
            self._finish(request, reply, keep_alive)

    def _finish(self, request: Request, reply: Reply, keep_alive: bool) -> None:
        self._outbox.put(self._transport, render(reply, keep_alive=keep_alive))
        self._now = None
        self._ledger.end(request, reply.fault or reply.status, reply.tokens)
        if not keep_alive:
            self._outbox.flush()
            self._transport.close()

    def _finish_late(self, request: Request, reply: Reply, keep_alive: bool) -> None:
        self._finish(request, reply, keep_alive)
        self._go_on()

    def _go_on(self) -> None:
        while self._now is None and self._waiting and not self._transport.is_closing():
            self._begin(*self._waiting.popleft())

    async def _break(self, fault: str, reply: Reply) -> None:
        self._outbox.flush()
        outlet = _Outlet(self._transport, self._socket, self._writable)
        await BREAKAGES[fault](outlet, reply)
        self._breaking = None
        self._now = None
        self._go_on()

    def _refuse(self, message: str) -> None:
        self._outbox.flush()
        if self._now is None:
            error = ApiError(400, message)
            self._transport.write(render(Reply(error.body(), 400), keep_alive=False))
        self._transport.close()


class _Outlet:
    """The side of a connection that breakages see."""

    def __init__(self, transport: _Socket, own: socket.socket, writable: asyncio.Event) -> None:
        self.write = transport.write
        self.close = transport.close
        self._transport = transport
        self._own = own
        self._writable = writable

    async def drain(self) -> None:
        await self._writable.wait()

    def reset(self) -> None:
        # Closing sends RST when there is nothing to linger for.
        with socket.socket(fileno=os.dup(self._own.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
