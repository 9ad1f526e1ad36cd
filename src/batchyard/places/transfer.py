"""One body too large to hold: to a server or from it in pieces, over a connection of its own."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import httptools

from batchyard.places.connection import INTERIM_ANSWERS_MAX, Fault
from batchyard.places.content_coding import CodingError, Decoder, coding_of, name_of
from batchyard.places.framing import with_one_framing
from batchyard.places.request_head import BaseUrl
from batchyard.places.unreachable import why_unreachable

__all__ = ["Arriving", "BrokenError", "Exchange", "Transfer"]

_PIECE_BYTES = 1 << 18
_HEADERS_BYTES_MAX = 1 << 16


class BrokenError(Exception):
    """A transfer that broke; `fault` is as of any call."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class Arriving:
    """An answer whose head is here; header names are in lower case, in the order they came.

    A content encoding that nobody asked for is undone, and its headers are left out.
    """

    def __init__(self, stream: asyncio.StreamReader, silence_seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._stream, self._silence_seconds = stream, silence_seconds
        self._parser = httptools.HttpResponseParser(self)
        self._held: list[bytes] = []
        self._head = b""
        self._decoder: Decoder | None = None
        self.tells_its_end = self._is_framed = False
        self._received_bytes = self._interim_count = 0
        self._head_is_here = self._is_complete = False
        self._refusal = ""

    def said(self, name: bytes) -> bytes:
        """A header; empty where there is none."""
        return next((value.strip() for one, value in self.headers if one == name), b"")

    async def head(self) -> None:
        """Wait for the head, however long it takes."""
        while not self._head_is_here:
            await self._more()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body; BrokenError where it ends before its end, or nothing comes for too long."""
        while True:
            held, self._held = self._held, []
            try:
                for piece in held:
                    for decoded in self._decoder.pieces(piece) if self._decoder else (piece,):
                        yield decoded
                if self._is_complete:
                    if self._decoder is not None:
                        self._decoder.finish()
                    return
            except CodingError as error:
                raise self._broken("invalid_upstream_response", f"{error}.") from None
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
            if self._head_is_here and not self._is_framed:
                self._is_complete = True
                return
            raise self._broken("upstream_unreachable", self._cut("was closed"))
        self._received_bytes += len(found)
        try:
            self._parser.feed_data(found)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_complete and not self._reads_with_one_framing(found):
                detail = self._refusal or f"The answer is not HTTP: {error}."
                raise self._broken("invalid_upstream_response", detail) from error
        else:
            if not self._head_is_here:
                self._head += found
        if not self._head_is_here and self._received_bytes > _HEADERS_BYTES_MAX:
            self._refusal = f"The answer's headers are larger than {_HEADERS_BYTES_MAX} bytes."
        if self._refusal:
            raise self._broken("invalid_upstream_response", self._refusal)

    def _reads_with_one_framing(self, found: bytes) -> bool:
        """Read an answer anew that tells its size twice; False where it is wrong in another way."""
        if self._head_is_here:
            return False
        answer = with_one_framing(self._head + found)
        if answer is None:
            return False
        if not answer:
            self._head += found
            return True
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._head = [], b""
        try:
            self._parser.feed_data(answer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return self._is_complete
        return True

    def _has_framing(self) -> bool:
        coding = self.said(b"transfer-encoding").lower()
        return bool(self.said(b"content-length")) or coding not in (b"", b"identity")

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
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """From the parser: the head of an answer, or of an interim one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status, self._head_is_here, self._head = status, True, b""
            self.tells_its_end = self._is_framed = self._has_framing()
            self._decode()

    def _decode(self) -> None:
        coding = coding_of(self.headers)
        if not coding:
            return
        if self.status == 206:
            # Which bytes these are of the content is known to nobody.
            self._refusal = f"A part of the content has {name_of(coding)}."
            return
        try:
            self._decoder = Decoder(coding)
        except CodingError as error:
            self._refusal = f"{error}."
            return
        # Both are of the content as it is sent; and whether it is whole can be told now.
        gone = (b"content-encoding", b"content-length")
        self.headers = [one for one in self.headers if one[0] not in gone]
        self.tells_its_end = True

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
