"""A TCP server that misbehaves as its script says, on a real socket."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

Script = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One connection as the server sees it; `number` counts connections from 1."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Head and body of the next request, together."""
        head = await self.request_head()
        length = int(head.rpartition(b"content-length: ")[2])
        return head + await self._reader.readexactly(length)

    async def request_head(self) -> bytes:
        """The head of the next request; its body is left unread."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def say(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def drip(self, part: bytes, *, pause_seconds: float = 0.01) -> None:
        """Send the same bytes again and again until the client hangs up."""
        while not self._reader.at_eof():
            await self.say(part)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reader.read(1), pause_seconds)

    async def hung_up(self) -> None:
        """Wait until the client closes the connection; what it still sends is dropped."""
        while await self._reader.read(65_536):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        raw = self._writer.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(raw.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()


class UpstreamServer:
    """A server under a script; `visits` counts connections, `over` has the ended ones.

    `refuse` stops listening and leaves connections be.
    """

    def __init__(self, script: Script) -> None:
        self.port = 0
        self.visits = 0
        self.over: asyncio.Queue[int] = asyncio.Queue()
        self.refuse: Callable[[], None] = lambda: None
        self._script = script
        self._running: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the script on one connection and close it."""
        self.visits += 1
        number = self.visits
        running = asyncio.current_task()
        assert running is not None
        self._running.add(running)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._script(Visit(number, reader, writer))
            except asyncio.CancelledError:
                # The end of the test; a stream server takes cancellation for a failure.
                writer.transport.abort()
            finally:
                writer.close()
                self._running.discard(running)
                self.over.put_nowait(number)

    async def stop(self) -> None:
        """End all scripts, wherever they are."""
        running = tuple(self._running)
        for one in running:
            one.cancel()
        await asyncio.gather(*running)


@contextlib.asynccontextmanager
async def upstream(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[UpstreamServer]:
    """Run a server that plays the script on every connection."""
    server = UpstreamServer(script)
    listening = await asyncio.start_server(server.serve, host, 0, ssl=tls)
    server.refuse = listening.close
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()


def answer(body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A well-formed answer."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def saying(*parts: bytes) -> Script:
    """Answer one request with these bytes, then close."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(*parts)

    return script


def serving(*parts: bytes) -> Script:
    """Answer every request with these bytes and keep the connection."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.say(*parts)

    return script
