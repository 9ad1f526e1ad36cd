"""One HTTP/1.1 connection: a request goes out, an answer comes back whole or not at all."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import httptools
import msgspec

from batchyard.places.answer import Answer, Ending, Fault, without_coding
from batchyard.places.framing import with_one_framing
from batchyard.places.tcp import was_unread

__all__ = ["Answer", "Call", "Connection", "Fault", "Owner"]

INTERIM_ANSWERS_MAX = 16
# Chunks of one byte cost five bytes of framing each; a peer that needs more is up to no good.
FRAMING_PER_BODY_BYTE_MAX = 8
# What a large answer of unknown size asks for at first.
RESERVED_BYTES_MIN = 1 << 20
# Copying a small body behind its head costs less than a gathering write.
JOINED_BYTES_MAX = 16_384


class Call(msgspec.Struct, eq=False):
    """One request under way; made in C, for there is one per line."""

    head: bytes
    body: bytes
    body_bytes_max: int
    deadline: float
    done: Callable[[Any, Answer | Fault], None]
    ticket: Any
    owner: "Owner"
    connection: "Connection | None" = None
    # It went out twice.
    was_retried: bool = False

    @property
    def sent(self) -> bool:
        """Whether any byte of the request may have gone out."""
        return self.was_retried or self.connection is not None

    def cancel(self) -> None:
        """Drop the request and its connection; `done` is not called any more."""
        self.owner.withdraw(self)


class Owner(Protocol):
    """Whoever keeps connections; told once how each call on them ended."""

    def opened(self, connection: "Connection") -> None:
        """The connection can be used."""

    def answered(self, connection: "Connection", call: Call, answer: Answer) -> None:
        """The answer is complete; the connection may serve again if it is still open."""

    def failed(self, call: Call, fault: Fault, ending: Ending) -> None:
        """There will be no answer."""

    def why_not_http(self, came: bytes, error: Exception) -> str:
        """Why what came is no answer, in a sentence."""
        ...

    def closed(self, connection: "Connection") -> None:
        """The connection is gone for good."""

    def reserve(self, connection: "Connection", count: int) -> bool:
        """Ask for so many bytes of memory; False where it must not read on before it is resumed."""
        ...

    def release(self, connection: "Connection", count: int) -> None:
        """So many bytes that were reserved are of no use any more."""

    def resumed(self, connection: "Connection", call: Call) -> None:
        """The call's answer, which had to wait for memory, comes in again."""

    def withdraw(self, call: Call) -> None:
        """Nobody waits for this call any more."""


class _Socket(Protocol):
    """What a connection needs of its transport; uvloop's is no asyncio.Transport by name."""

    def write(self, data: bytes, /) -> None: ...

    def writelines(self, list_of_data: Iterable[bytes], /) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection(asyncio.Protocol):
    """The protocol of one socket; at most one call at a time, anything odd closes it."""

    __slots__ = (
        "_body",
        "_head",
        "_headers",
        "_headers_bytes_max",
        "_interim_count",
        "_is_complete",
        "_is_encoded",
        "_keeps_alive",
        "_owner",
        "_parser",
        "_received_bytes",
        "_refusal",
        "_reserved_bytes",
        "_status",
        "_transport",
        "call",
        "idle_since",
        "is_open",
        "is_paused",
        "served",
        "started",
    )

    _transport: _Socket
    _headers: list[tuple[bytes, bytes]]
    _body: bytes | bytearray

    def __init__(self, owner: Owner, headers_bytes_max: int) -> None:
        self.is_open = False
        self.is_paused = False
        # Since when it has waited, for a call or paused for memory, and when the call began for
        # which it had waited; of the loop's clock, and kept by the owner.
        self.idle_since = self.started = 0.0
        self._owner = owner
        self._headers_bytes_max = headers_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self.call: Call | None = None
        self._status = 0
        # What came of a head that is not whole yet.
        self._head = b""
        self._is_encoded = False
        # How many calls it has brought an answer to.
        self.served = 0
        self._reserved_bytes = 0

    @property
    def status(self) -> int:
        """The status of the answer that is coming in; 0 until its head is complete."""
        return self._status if self._status >= 200 else 0

    def start(self, call: Call) -> None:
        """Send the call's request; the owner hears of the end."""
        call.connection = self
        self.call = call
        self._status = 0
        self._headers = []
        self._body = b""
        self._received_bytes = 0
        self._interim_count = 0
        self._is_complete = False
        self._refusal: Fault | None = None
        if len(call.body) <= JOINED_BYTES_MAX:
            self._transport.write(call.head + call.body)
        else:
            self._transport.writelines((call.head, call.body))

    def abort(self) -> None:
        """Close at once and say nothing about a call under way."""
        self.call = None
        self._body = b""
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        if self._reserved_bytes or self.is_paused:
            self._release()

    def resume(self) -> None:
        """Read on, where this had been stopped for lack of memory."""
        if self.is_paused and self.call is not None and self.is_open:
            self.is_paused = False
            self._transport.resume_reading()
            self._owner.resumed(self, self.call)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: the socket is connected, the certificate (if any) accepted."""
        self._transport = cast(_Socket, transport)
        self.is_open = True
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """From asyncio: parse what came; the call may end only when the parser rests."""
        call = self.call
        if call is None:
            # An answer to nothing: whatever follows on this connection cannot be trusted.
            self.abort()
            return
        self._received_bytes += len(data)
        is_clean = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            is_clean = False
            if not self._is_complete and self._refusal is None:
                is_clean = not self._status and self._reads_with_one_framing(data)
                if not is_clean and not self._is_complete:
                    came = b"" if self._status else self._head + data
                    why = self._owner.why_not_http(came, error)
                    self._refuse("invalid_upstream_response", why)
        else:
            if not self._status:
                self._head += data
        if self._received_bytes > self._headers_bytes_max:
            self._check_framing()
            self._reserve(call)
        if self._refusal is not None:
            self._fail(call, self._refusal)
        elif self._is_complete:
            self._finish(call, is_clean and self._keeps_alive)

    def _reads_with_one_framing(self, data: bytes) -> bool:
        """Read an answer anew that tells its size twice, once its head is whole.

        False where it is wrong in another way.
        """
        answer = with_one_framing(self._head + data)
        if answer is None:
            return False
        if not answer:
            self._head += data
            return True
        self._parser = httptools.HttpResponseParser(self)
        self._headers = []
        self._head = b""
        try:
            self._parser.feed_data(answer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

    def _check_framing(self) -> None:
        framing_bytes_max = self._headers_bytes_max + FRAMING_PER_BODY_BYTE_MAX * len(self._body)
        if self._received_bytes - len(self._body) > framing_bytes_max:
            self._refuse(
                "invalid_upstream_response",
                f"The answer's headers are larger than {self._headers_bytes_max} bytes.",
            )

    def _reserve(self, call: Call) -> None:
        """Ask for the memory that a large answer takes, and read no further without it."""
        have, most = len(self._body), call.body_bytes_max
        if have < self._reserved_bytes or self._is_complete or self._refusal is not None:
            return
        length = _header(self._headers, b"content-length")
        # An answer of unknown size asks in few steps: for twice as much each time.
        wanted = int(length) if length else min(most, max(RESERVED_BYTES_MIN, 2 * have))
        if wanted > most:
            self._refuse("response_too_large", f"The answer is larger than {most} bytes.")
            return
        more = wanted - self._reserved_bytes
        self._reserved_bytes = wanted
        if more > 0 and not self._owner.reserve(self, more):
            self.is_paused = True
            self._transport.pause_reading()

    def _release(self) -> None:
        count, self._reserved_bytes = self._reserved_bytes, 0
        self.is_paused = False
        self._owner.release(self, count)

    def eof_received(self) -> None:
        """From asyncio: the upstream has said its last, so nothing is left to wait for."""
        self._lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio: the socket is closed, by us or by the network."""
        self.is_open = False
        self._lost(exc)
        self._owner.closed(self)

    def on_message_begin(self) -> None:
        """From the parser: refuse bytes after the one answer that was asked for."""
        if self._is_complete:
            raise ValueError("a second answer follows the first")

    def on_header(self, name: bytes, value: bytes) -> None:
        """From the parser: a header, or a trailer of a chunked body."""
        # Trailers come after the status is known; they are no headers and nobody needs them.
        if self._status:
            return
        name = name.lower()
        if name == b"content-encoding":
            self._is_encoded = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """From the parser: the status is known now and tells headers from trailers."""
        self._status = self._parser.get_status_code()
        if self._head and self._status >= 200:
            self._head = b""

    def on_body(self, chunk: bytes) -> None:
        """From the parser: a run of the body, without framing."""
        assert self.call is not None
        if not self._body:
            self._body = chunk
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk
        if len(self._body) > self.call.body_bytes_max:
            limit = self.call.body_bytes_max
            self._body = b""
            self._refuse("response_too_large", f"The answer is larger than {limit} bytes.")

    def on_message_complete(self) -> None:
        """From the parser: an answer is whole, or an interim one has passed."""
        if self._status >= 200:
            self._keeps_alive = self._parser.should_keep_alive()
            self._is_complete = True
            return
        self._status = 0
        self._headers = []
        self._body = b""
        self._interim_count += 1
        if self._interim_count > INTERIM_ANSWERS_MAX:
            self._refuse(
                "invalid_upstream_response",
                f"More than {INTERIM_ANSWERS_MAX} interim (1xx) answers came.",
            )

    def _finish(self, call: Call, can_be_reused: bool) -> None:
        answer = Answer(self._status, self._headers, bytes(self._body))
        # An idle connection keeps nothing of what passed over it.
        self._body = b""
        if self._is_encoded:
            self._is_encoded = False
            decoded = without_coding(answer, call.body_bytes_max)
            if isinstance(decoded, Fault):
                self._fail(call, decoded)
                return
            answer = decoded
        reserved, self._reserved_bytes = self._reserved_bytes, 0
        self.call = None
        self.served += 1
        # A request that is still going out would be followed by the next one on this connection.
        if not can_be_reused or self._transport.get_write_buffer_size():
            self.abort()
        try:
            self._owner.answered(self, call, answer)
        finally:
            if reserved:
                # Whoever keeps the answer counts it by now.
                self._owner.release(self, reserved)

    def _fail(self, call: Call, fault: Fault, ending: Ending = Ending.PLAIN) -> None:
        self.abort()
        self._owner.failed(call, fault, ending)

    def _refuse(self, code: str, detail: str) -> None:
        # The first reason counts; the parser may go on for the rest of what was read.
        if self._refusal is None:
            self._refusal = Fault(code, detail, sent=True, status=self.status)

    def _lost(self, exc: Exception | None) -> None:
        call = self.call
        if call is None:
            self.abort()
        elif exc is None and self._ends_with_connection():
            self._finish(call, can_be_reused=False)
        else:
            what = "closed the connection" if exc is None else f"broke the connection ({exc})"
            when = f"after {self._received_bytes} bytes of" if self._received_bytes else "before"
            detail = f"The upstream {what} {when} an answer."
            fault = Fault("upstream_unreachable", detail, True, self.status)
            self._fail(call, fault, self._ending(exc))

    def _ending(self, exc: Exception | None) -> Ending:
        if not self.served or self._received_bytes:
            return Ending.PLAIN
        is_unread = isinstance(exc, ConnectionResetError | BrokenPipeError)
        if is_unread or was_unread(cast(asyncio.BaseTransport, self._transport)):
            return Ending.UNREAD
        return Ending.REUSED

    def _ends_with_connection(self) -> bool:
        if self._status < 200 or _header(self._headers, b"content-length"):
            return False
        coding = _header(self._headers, b"transfer-encoding")
        return coding is None or coding.lower() == b"identity"


def _header(headers: list[tuple[bytes, bytes]], sought: bytes) -> bytes | None:
    for name, value in headers:
        if name == sought:
            return value.strip()
    return None
