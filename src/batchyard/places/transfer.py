"""One body too large to hold: to a server or from it in pieces, over a connection of its own."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import httptools

from batchyard.places.connection import INTERIM_ANSWERS_MAX, Fault, why_unreachable
from batchyard.places.request_head import BaseUrl

__all__ = ["Arriving", "BrokenError", "Exchange", "Transfer"]

_PIECE_BYTES = 1 << 18
_HEADERS_BYTES_MAX = 1 << 16


class BrokenError(Exception):
    """A transfer that broke; `fault` is as of any call."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class Arriving:
    """An answer whose head is here; header names are in lower case, in the order they came."""

    def __init__(self, stream: asyncio.StreamReader, silence_seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._stream, self._silence_seconds = stream, silence_seconds
        self._parser = httptools.HttpResponseParser(self)
        self._held: list[bytes] = []
        self._received_bytes = self._interim_count = 0
        self._head_is_here = self._is_complete = False
        self._refusal = ""

    def said(self, name: bytes) -> bytes:
        """A header; empty where there is none."""
        return next((value.strip() for one, value in self.headers if one == name), b"")

    @property
    def tells_its_end(self) -> bool:
        """Whether an answer that is cut short can be told from a whole one."""
        return bool(self.said(b"content-length") or self.said(b"transfer-encoding"))

    async def head(self) -> None:
        """Wait for the head, however long it takes."""
        while not self._head_is_here:
            await self._more()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body; BrokenError where it ends before its end, or nothing comes for too long."""
        while True:
            held, self._held = self._held, []
            for piece in held:
                yield piece
            if self._is_complete:
                return
            try:
                async with asyncio.timeout(self._silence_seconds):
                    await self._more()
            except TimeoutError:
                raise self._broken("request_timeout", "The answer stopped coming.") from None

    async def read(self, most: int) -> bytes:
        """The body in one piece; BrokenError where it is larger."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > most:
                detail = f"The answer is larger than {most} bytes."
                raise self._broken("response_too_large", detail)
        return bytes(body)

    async def _more(self) -> None:
        try:
            found = await self._stream.read(_PIECE_BYTES)
        except OSError as error:
            raise self._broken("upstream_unreachable", self._cut(f"broke ({error})")) from error
        if not found:
            if self._head_is_here and not self.tells_its_end:
                self._is_complete = True
                return
            raise self._broken("upstream_unreachable", self._cut("was closed"))
        self._received_bytes += len(found)
        try:
            self._parser.feed_data(found)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_complete:
                detail = self._refusal or f"The answer is not HTTP: {error}."
                raise self._broken("invalid_upstream_response", detail) from error
        if not self._head_is_here and self._received_bytes > _HEADERS_BYTES_MAX:
            self._refusal = f"The answer's headers are larger than {_HEADERS_BYTES_MAX} bytes."
        if self._refusal:
            raise self._broken("invalid_upstream_response", self._refusal)

    def _cut(self, what: str) -> str:
        when = f"after {self._received_bytes} bytes of" if self._received_bytes else "before"
        return f"The connection {what} {when} an answer."

    def _broken(self, code: str, detail: str) -> BrokenError:
        return BrokenError(Fault(code, detail, sent=True, status=self.status))

    def on_message_begin(self) -> None:
        """From the parser: whatever follows the one answer is nothing that was asked for."""
        if self._is_complete:
            raise ValueError("a second answer follows the first")

    def on_header(self, name: bytes, value: bytes) -> None:
        """From the parser: a header, or a trailer, which nobody needs."""
        if self._head_is_here:
            return
        name = name.lower()
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            self._refusal = f"Unasked content encoding {value[:40].decode('latin-1')!r}."
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """From the parser: the head of an answer, or of an interim one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status, self._head_is_here = status, True

    def on_body(self, chunk: bytes) -> None:
        """From the parser: a run of the body, without framing."""
        self._held.append(chunk)

    def on_message_complete(self) -> None:
        """From the parser: the answer is whole, or an interim one has passed."""
        if self._head_is_here:
            self._is_complete = True
            return
        self.headers = []
        self._interim_count += 1
        if self._interim_count > INTERIM_ANSWERS_MAX:
            self._refusal = f"More than {INTERIM_ANSWERS_MAX} interim (1xx) answers came."


class Transfer:
    """Makes one call at a time that is too large for a `Transport`, which holds what it carries.

    `silence_seconds` is how long neither side may be silent; how long it all takes is up to the
    line. No call is repeated.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout_seconds: float = 10.0,
        silence_seconds: float = 600.0,
    ) -> None:
        self._url = BaseUrl.parse(base_url)
        self._ssl_context = ssl_context if self._url.scheme == "https" else None
        self._connect_timeout_seconds = connect_timeout_seconds
        self._silence_seconds = silence_seconds

    def call(self, head: bytes, parts: Iterable[bytes] = ()) -> "Exchange":
        """Send a request, its body in parts; `async with` it for the answer."""
        return Exchange(self._connect, head, parts, self._silence_seconds)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        trust = self._ssl_context
        if trust is None and self._url.scheme == "https":
            trust = self._ssl_context = ssl.create_default_context()
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                return await asyncio.open_connection(
                    self._url.host, self._url.port, ssl=trust, limit=_PIECE_BYTES
                )
        except (OSError, UnicodeError) as error:
            why = why_unreachable(error, self._url, self._connect_timeout_seconds)
            raise BrokenError(Fault("upstream_unreachable", why, sent=False)) from error


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Exchange:
    """A call that has its connection while it is entered; gives the answer once its head is here.

    Raises BrokenError, here and while the answer is read. An answer that comes before all of the
    body went out is the answer, and the rest does not go.
    """

    def __init__(
        self, connect: Connect, head: bytes, parts: Iterable[bytes], silence_seconds: float
    ) -> None:
        self._connect, self._head, self._parts = connect, head, parts
        self._silence_seconds = silence_seconds
        self._out: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Arriving:
        stream, self._out = await self._connect()
        arriving = Arriving(stream, self._silence_seconds)
        heading = asyncio.create_task(arriving.head())
        sending = asyncio.create_task(self._send(self._out))
        try:
            await asyncio.wait({heading, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not heading.done():
                await sending
                await asyncio.wait({heading}, timeout=self._silence_seconds)
            if not heading.done():
                detail = "No answer before the deadline."
                raise BrokenError(Fault("request_timeout", detail, sent=True))
            await heading
        except BaseException:
            await self._hang_up()
            raise
        finally:
            for one in (heading, sending):
                one.cancel()
            await asyncio.gather(heading, sending, return_exceptions=True)
        return arriving

    async def __aexit__(self, *_: object) -> None:
        await self._hang_up()

    async def _hang_up(self) -> None:
        assert self._out is not None
        self._out.transport.abort()
        with contextlib.suppress(OSError):
            await self._out.wait_closed()

    async def _send(self, out: asyncio.StreamWriter) -> None:
        """Send all of it; a connection that breaks meanwhile is for whoever reads to find out."""
        out.write(self._head)
        for part in self._parts:
            out.write(part)
            try:
                async with asyncio.timeout(self._silence_seconds):
                    await out.drain()
            except TimeoutError:
                detail = "The server stopped taking the request."
                raise BrokenError(Fault("request_timeout", detail, sent=True)) from None
            except OSError:
                return
