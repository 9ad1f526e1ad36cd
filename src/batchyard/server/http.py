"""The HTTP server: uvicorn, with the bounds it does not have of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from batchyard.wire.errors import ApiError

__all__ = ["make_server"]

_HEAD_BYTES_MAX = 16_384
_URL_BYTES_MAX = 8_192
_HEAD_SECONDS_MAX = 10.0
# In each such time so much of a request's body must come: 1 KiB a second.
_BODY_GRACE_SECONDS, _BODY_GRACE_BYTES_MIN = 30.0, 30 * 1_024
# Who takes nothing of an answer for so long is gone.
_STALLED_SECONDS_MAX = 120.0
_CONNECTIONS_MAX = 10_000
# Of these, so many may be of those who have not yet shown a good key.
_STRANGERS_MAX = 2_000
_LENGTH = b"content-length"


class _Protocol(HttpToolsProtocol):
    """One connection: a request's head is bounded in size and time, its body in slowness.

    So is the taking of an answer.
    """

    _strangers: "dict[_Protocol, None]"
    _stalled: asyncio.TimerHandle | None = None
    _watch: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _url_bytes = 0
    _field_bytes = 0
    _body_bytes = 0
    # Bytes that came since the last of the body; a count that grows when some of it comes.
    _around_bytes = 0
    _progress = 0
    _bare_bytes = 0
    # The head so far, where it began with what came at once; it may have to be read anew.
    _head: tuple[bytes, ...] = ()
    _begun = False
    _in_body = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        assert isinstance(self.config, _Config)
        self._strangers = self.config.strangers
        self._strangers[self] = None
        self._be_lenient()
        if len(self.connections) > _CONNECTIONS_MAX or len(self._strangers) > _STRANGERS_MAX:
            self._make_room()
        if not self._refused:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._strangers.pop(self, None)
        self._forget()
        self._forget_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_body:
            self._head_bytes += len(data)
            # What came behind another request was not seen from its beginning.
            self._head = (*self._head, data) if self._head or not self._begun else ()
            if self._watch is None:
                self._expect_head()
        self._unset_keepalive_if_required()
        progress = self._progress if self._in_body else -1
        try:
            if self._bare_bytes:
                self._read_bare(data)
            else:
                self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_bare(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._read_anew()
        if not self._in_body:
            if self._head_bytes > _HEAD_BYTES_MAX + _URL_BYTES_MAX:
                self._refuse_fields()
        elif self._progress == progress:
            # Trailers, or what else stands between chunks: the parser holds each until it ends.
            self._around_bytes += len(data)
            if self._around_bytes > _HEAD_BYTES_MAX:
                self._refuse_fields()

    def pause_writing(self) -> None:
        self._stalled = self.loop.call_later(_STALLED_SECONDS_MAX, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._forget_stall()
        super().resume_writing()

    def send_400_response(self, _msg: str) -> None:
        """Answer what is no HTTP in the one envelope that errors have."""
        self._refuse(400, "The request is not valid HTTP.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self.scope["state"]["welcome"] = self._welcome
        self._url_bytes = self._field_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value) + 4
        if not self._in_body:
            super().on_header(name, value)
        elif self._field_bytes > _HEAD_BYTES_MAX:
            # A trailer is dropped: a field that comes behind the body is not one of its head.
            self._refuse_fields()

    def on_headers_complete(self) -> None:
        self._forget()
        self._head = ()
        if self._url_bytes > _URL_BYTES_MAX:
            self._refuse(414, "The URL of the request is too long.")
        elif self._field_bytes > _HEAD_BYTES_MAX:
            self._refuse_fields()
        if self._refused:
            return
        fields = dict(self.headers)
        coding = fields.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self.send_400_response("")
            return
        doubly = coding is not None and _LENGTH in fields
        if doubly:
            # The one that is framed by chunks counts (RFC 9112, 6.3), and is the last here.
            self.headers[:] = [field for field in self.headers if field[0] != _LENGTH]
        super().on_headers_complete()
        if doubly:
            self.cycle.keep_alive = False
        if self.parser.get_http_version() == "1.0":
            self.cycle.__class__ = _Unchunked
        if self.parser.should_upgrade():
            # The parser ends here, and this request is the connection's last.
            self.cycle.keep_alive = False
            self._bare_bytes = int(dict(self.headers).get(_LENGTH, 0))
        self._in_body, self._body_bytes, self._around_bytes = True, 0, 0
        self._progress += 1
        self._watch = self.loop.call_later(_BODY_GRACE_SECONDS, self._check_rate)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            self._body_bytes += len(body)
            self._progress, self._around_bytes = self._progress + 1, 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused and not self._bare_bytes:
            self._forget()
            self._in_body, self._begun, self._head_bytes = False, False, 0
            super().on_message_complete()

    def _read_bare(self, data: bytes) -> None:
        """Read the body of a request that offers another protocol, as some do with HTTP/2.

        The offer is passed over; the parser, however, leaves what follows the head to us.
        """
        body = data[: self._bare_bytes]
        if body:
            self.on_body(body)
            self._bare_bytes -= len(body)
            if not self._bare_bytes:
                self.on_message_complete()

    def _be_lenient(self) -> None:
        """Take what official clients take: what is framed by chunks may have a length beside."""
        self.parser.set_dangerous_leniencies(
            lenient_data_after_close=True, lenient_chunked_length=True
        )

    def _read_anew(self) -> None:
        """Read a head again whose Content-Lengths are all the same, as if there were but one."""
        head = b"".join(self._head)
        if _LENGTH in head.lower() and b"\r\n\r\n" not in head:
            # The rest of it is still to come; the parser refuses that as well.
            return
        mended = _with_one_length(head)
        if mended is None:
            self.send_400_response("")
            return
        self.parser = httptools.HttpRequestParser(self)
        self._be_lenient()
        self._head, self._begun = (), False
        try:
            self.parser.feed_data(mended)
        except httptools.HttpParserUpgrade as offer:
            self._read_bare(mended[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _welcome(self) -> None:
        """Count this connection no more among those without a key."""
        self._strangers.pop(self, None)

    def _make_room(self) -> None:
        """Close a connection without a key: the longest idle one, or else the oldest.

        So nobody who has no key can keep those out who have one.
        """
        others = [one for one in self._strangers if one is not self]
        chosen = next(filter(_is_idle, others), others[0] if others else self)
        self._strangers.pop(chosen, None)
        if chosen is self or chosen._head_bytes or chosen._in_body:
            chosen._refuse(503, "The server has too many connections.")
        else:
            chosen._forget()
            chosen.transport.close()

    def _expect_head(self) -> None:
        self._watch = self.loop.call_later(_HEAD_SECONDS_MAX, self._too_slow)

    def _check_rate(self) -> None:
        # Who waits because we do not read is not slow.
        if self.flow.read_paused or self._body_bytes >= _BODY_GRACE_BYTES_MIN:
            self._body_bytes = 0
            self._watch = self.loop.call_later(_BODY_GRACE_SECONDS, self._check_rate)
        else:
            self._too_slow()

    def _too_slow(self) -> None:
        if self._head_bytes or self._in_body:
            self._refuse(408, "The request came too slowly.")
        else:
            self._forget()
            self.transport.close()

    def _refuse_fields(self) -> None:
        self._refuse(431, "The headers of the request are too large.")

    def _refuse(self, status: int, message: str) -> None:
        self._forget()
        self._refused = True
        if self.transport.is_closing():
            return
        began = getattr(self.cycle, "response_started", False)
        if not began or self.cycle.response_complete:
            kind = "invalid_request_error" if status < 500 else "server_error"
            body = ApiError(status, message, type=kind).body()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b"
                % (status, HTTPStatus(status).phrase.encode(), len(body), body)
            )
        self.transport.close()

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _forget(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _is_idle(one: _Protocol) -> bool:
    return bool(getattr(one.cycle, "response_complete", True))


def _with_one_length(text: bytes) -> bytes | None:
    """A head, and what follows it, with its equal Content-Lengths as one; None where it has none.

    Some proxies send it twice, or as a list. Where they differ, nobody knows what was meant.
    """
    head, end, rest = text.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    named = [line for line in lines if line.lower().startswith(_LENGTH + b":")]
    found = [size.strip() for line in named for size in line.partition(b":")[2].split(b",")]
    if not end or len(found) < 2 or len(set(found)) > 1 or not found[0].isdigit():
        return None
    others = [line for line in lines if line not in named]
    return b"\r\n".join((*others, b"%b: %b" % (_LENGTH, found[0]))) + end + rest


class _Unchunked(RequestResponseCycle):
    """An answer to a client of HTTP/1.0, which knows no chunks: it ends with its connection."""

    _endless = False

    async def send(self, message: Any) -> None:
        """Send it without chunks, and without a length where it has none."""
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            if _LENGTH not in names:
                self.chunked_encoding, self._endless = False, True
        elif self._endless:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class _Config(uvicorn.Config):
    """The settings of a server, and its connections that have not shown a key, oldest first."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.strangers: dict[_Protocol, None] = {}


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server for the application; it takes no signals, whoever runs it stops it."""
    config = _Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=3,
        backlog=4096,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
