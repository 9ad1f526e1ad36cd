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
from msgspec import Struct

from batchyard.places.log import log
from batchyard.sim.breakage import BREAKAGES
from batchyard.sim.ledger import Ledger
from batchyard.sim.messages import Head, Reply, Request, render
from batchyard.sim.outbox import Late, Outbox
from batchyard.wire.errors import ApiError

__all__ = ["Connection", "Shared"]


_KEY, _CONTENT_TYPE, _EXPECT = b"x-sim-key", b"content-type", b"expect"
_HEADERS_KEPT = frozenset({_KEY, _CONTENT_TYPE, _EXPECT})
_HEAD_END = b"\r\n\r\n"
_COUNTED = "/v1/"
# Heads known byte for byte; those of a client differ in the length of the body, if at all.
_KNOWN_MAX = 4096


@runtime_checkable
class _Socket(Protocol):
    """What a connection needs of its transport; uvloop's is no asyncio.Transport by name."""

    def write(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool: ...


class Shared(Struct, frozen=True):
    """What all connections of a server have in common; `known` is heads as they were parsed."""

    answer: Callable[[Request], Reply]
    ledger: Ledger
    outbox: Outbox
    loop: asyncio.AbstractEventLoop
    open_ones: set["Connection"]
    known: dict[bytes, Head]


class Connection(asyncio.Protocol):
    """The protocol of one socket.

    Requests that come while one is being answered wait for their turn.
    """

    _transport: _Socket
    _head: Head | None = None

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._answer = shared.answer
        self._ledger = shared.ledger
        self._outbox = shared.outbox
        self._known = shared.known
        self._time = shared.loop.time
        self._parser = httptools.HttpRequestParser(self)
        self._is_between = True
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._now: tuple[Request, Reply] | None = None
        self._waiting: deque[Request] = deque()
        self._held: dict[Late, None] = {}
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
        self._shared.open_ones.add(self)
        self._ledger.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio: the client has left, or we have closed."""
        self._shared.open_ones.discard(self)
        self._ledger.connections -= 1
        self._held.pop(self, None)
        if self._breaking is not None:
            self._breaking.cancel()
        elif self._now is not None:
            self._ledger.end(self._now[0], "left")
        for request in self._waiting:
            self._ledger.end(request, "left")
        self._waiting.clear()
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        """From asyncio: parse what came; whole requests are answered while this runs."""
        if not self._is_between:
            self._parse(data)
            return
        head_bytes, _, body = data.partition(_HEAD_END)
        head = self._known.get(head_bytes)
        if head is not None and head.body_bytes == len(body):
            self._take(head, body)
            return
        head = self._parse(data)
        # So much after the first head means that it was one request, whole and not in chunks.
        if head is not None and head.body_bytes == len(body):
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[head_bytes] = head

    def pause_writing(self) -> None:
        """From asyncio: the client does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """From asyncio: the client has caught up."""
        self._writable.set()

    def on_message_begin(self) -> None:
        """From the parser: the first byte of a request."""
        self._is_between = False

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
        key = self._headers.get(_KEY)
        path = self._url.partition(b"?")[0].decode("latin-1")
        self._head = Head(
            self._parser.get_method().decode(),
            path,
            self._headers.get(_CONTENT_TYPE, b""),
            key.decode("latin-1") if key is not None else None,
            len(body),
            self._parser.should_keep_alive(),
            path.startswith(_COUNTED),
        )
        self._url, self._headers, self._parts = b"", {}, []
        self._is_between = True
        self._take(self._head, body)

    def fall_due(self) -> None:
        """From the outbox: the answer has waited as long as it should."""
        if self._now is not None and not self._transport.is_closing():
            self._finish(*self._now)
            self._go_on()

    def _parse(self, data: bytes) -> Head | None:
        """Take what is whole; the last head, if nothing is left over."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A mistake of ours, which the loop is to report.
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(f"This is not HTTP/1.1: {error}.")
            return None
        return self._head if self._is_between else None

    def _take(self, head: Head, body: bytes) -> None:
        self._ledger.begin(head)
        request = Request(head, body, sha256(body).digest(), self._time())
        if self._now is None:
            self._begin(request)
        else:
            self._waiting.append(request)

    def _begin(self, request: Request) -> None:
        try:
            reply = self._answer(request)
        except Exception:
            # A mistake of the simulation, not a simulated fault: one request is enough for it.
            log.exception("sim_failed", path=request.head.path)
            error = ApiError(500, "The simulation itself failed.", type="server_error")
            reply = Reply(error.body(), 500)
        if reply.fault is not None and reply.is_broken:
            self._now = request, reply
            # Logged before it happens: who sees the fault finds it in the log.
            self._ledger.end(request, reply.fault)
            self._breaking = self._shared.loop.create_task(self._break(reply.fault, reply))
        elif reply.delay_seconds > 0:
            self._now = request, reply
            self._held = self._outbox.hold(self, reply.delay_seconds)
        else:
            self._finish(request, reply)

    def _finish(self, request: Request, reply: Reply) -> None:
        self._now = None
        keep_alive = request.head.keep_alive
        self._outbox.put(self._transport, render(reply, keep_alive=keep_alive))
        self._ledger.end(request, reply.fault or reply.status, reply.tokens)
        if not keep_alive:
            self._outbox.flush()
            self._transport.close()

    def _go_on(self) -> None:
        while self._now is None and self._waiting and not self._transport.is_closing():
            self._begin(self._waiting.popleft())

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
