"""A client that sees the very bytes of an answer."""

import asyncio
import json
from typing import Any, NamedTuple

from batchyard.sim import Running

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Seen(NamedTuple):
    """An answer as HTTP; `body` is what came until its end or the end of the connection."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for own, value in self.headers if own == name), None)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def post(path: str, body: Any, *headers: str) -> bytes:
    """A request with a JSON body; text goes as it is."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: sim", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def get(path: str) -> bytes:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n".encode()


async def ask(running: Running, *requests: bytes) -> list[Seen]:
    """Send all requests at once on one connection and read their answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        writer.write(b"".join(requests))
        return [await read(reader) for _ in requests]
    finally:
        writer.close()
        await writer.wait_closed()


async def ask_chat(running: Running, **changes: Any) -> Seen:
    """Ask for one chat completion."""
    return (await ask(running, post("/v1/chat/completions", {**CHAT, **changes})))[0]


async def read(reader: asyncio.StreamReader) -> Seen:
    """Read one answer, however it ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = [
        (name.lower(), value) for name, _, value in (line.partition(": ") for line in head[1:-2])
    ]
    length = dict(headers).get("content-length")
    body = await (reader.read() if length is None else _up_to(reader, int(length)))
    return Seen(int(head[0].split()[1]), headers, body)


async def _up_to(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        return error.partial
