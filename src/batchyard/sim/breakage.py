"""Replies that break on the wire: cut, dripping, endless, reset, never there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from batchyard.sim.messages import Reply, render, render_head

__all__ = ["BREAKAGES", "Wire"]

# How long the first half of an answer has to arrive before the connection is reset.
_RESET_SECONDS = 0.01
_DRIP_SECONDS = 0.3
_HUGE_PIECE = b"simulated " * 6554
_HUGE_BYTES = 64 << 20


class Wire(Protocol):
    """What a breakage may do to a connection; its coroutine is cancelled when the client leaves."""

    def write(self, sent: bytes, /) -> None:
        """Send bytes as they are."""

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""

    def close(self) -> None:
        """Send what was written, then FIN."""

    def reset(self) -> None:
        """Send RST."""


async def _hang(wire: Wire, reply: Reply) -> None:
    await asyncio.get_running_loop().create_future()


async def _reset(wire: Wire, reply: Reply) -> None:
    _write_half(wire, reply)
    await asyncio.sleep(_RESET_SECONDS)
    wire.reset()


async def _cut(wire: Wire, reply: Reply) -> None:
    _write_half(wire, reply)
    wire.close()


async def _short(wire: Wire, reply: Reply) -> None:
    # The other half follows all the same, as from a server that cannot count.
    wire.write(render_head(reply, len(reply.body) // 2) + reply.body)


async def _drip(wire: Wire, reply: Reply) -> None:
    for byte in render(reply):
        wire.write(bytes((byte,)))
        await asyncio.sleep(_DRIP_SECONDS)


async def _huge(wire: Wire, reply: Reply) -> None:
    piece = b"%x\r\n%b\r\n" % (len(_HUGE_PIECE), _HUGE_PIECE)
    wire.write(render_head(reply, None) + b'1\r\n"\r\n')
    for _ in range(_HUGE_BYTES // len(_HUGE_PIECE)):
        wire.write(piece)
        await wire.drain()
    wire.write(b'1\r\n"\r\n0\r\n\r\n')


async def _chunkcut(wire: Wire, reply: Reply) -> None:
    half = reply.body[: len(reply.body) // 2]
    wire.write(render_head(reply, None) + b"%x\r\n%b" % (len(reply.body), half))
    wire.close()


async def _badhttp(wire: Wire, reply: Reply) -> None:
    wire.write(b"\x15\x03\x01\x00\x02simulated: this is not HTTP\r\n\r\n")
    wire.close()


def _write_half(wire: Wire, reply: Reply) -> None:
    wire.write(render_head(reply, len(reply.body)) + reply.body[: len(reply.body) // 2])


BREAKAGES: Mapping[str, Callable[[Wire, Reply], Awaitable[None]]] = {
    "hang": _hang,
    "reset": _reset,
    "cut": _cut,
    "short": _short,
    "drip": _drip,
    "huge": _huge,
    "chunkcut": _chunkcut,
    "badhttp": _badhttp,
}
