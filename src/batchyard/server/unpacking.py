"""Request bodies that come compressed: undone piece by piece, so that none grows in memory."""

import zlib
from collections.abc import Sequence

from starlette.types import Message, Receive

from batchyard.wire.errors import ApiError

__all__ = ["unpacking"]

_GZIP_WINDOW = 31
# What comes of a piece at once: whoever reads a body refuses what is too long between two.
_PIECE_BYTES = 64 << 10


def unpacking(codings: Sequence[str], receive: Receive) -> Receive:
    """How a body is received that has these codings; raises ApiError for what is not undone.

    The bounds of bodies and files are those of what comes out.
    """
    named = [one.strip().lower() for text in codings for one in text.split(",")]
    asked = [one for one in named if one not in ("", "identity")]
    if not asked:
        return receive
    if asked not in (["gzip"], ["x-gzip"]):
        raise ApiError(
            415,
            f"The Content-Encoding '{', '.join(asked)[:100]}' is not taken: send the request body "
            "with 'Content-Encoding: gzip', or without any.",
            headers={"accept-encoding": "gzip, identity"},
        )
    return _Unpacked(receive).receive


class _Unpacked:
    """A body in gzip, which may have several members."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._left = b""
        self._more = True

    async def receive(self) -> Message:
        """The next piece of what was compressed."""
        while True:
            if not self._left and self._more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._left = message.get("body", b"")
                self._more = message.get("more_body", False)
            piece = self._piece()
            more = bool(self._left) or self._more
            if piece or not more:
                if not more and not self._member.eof:
                    raise _DAMAGED
                return {"type": "http.request", "body": piece, "more_body": more}

    def _piece(self) -> bytes:
        if self._member.eof and self._left:
            self._member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            piece = self._member.decompress(self._left, _PIECE_BYTES)
        except zlib.error:
            raise _DAMAGED from None
        # What did not fit into the piece, or came behind the member.
        self._left = self._member.unconsumed_tail or self._member.unused_data
        return piece


_DAMAGED = ApiError(400, "The request body is not the gzip that its Content-Encoding says.")
