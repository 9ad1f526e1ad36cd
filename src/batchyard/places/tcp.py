"""What the operating system knows of a connection that its peer has closed."""

import asyncio
import socket
import struct

__all__ = ["was_unread"]

_CLOSED_BY_RESET = 7
# The state is the first byte of Linux's `tcp_info`; after eight bytes and four numbers stands how
# many segments were sent and not acknowledged.
_STATE_AND_UNACKNOWLEDGED = struct.Struct("=B23xI")


def was_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer had closed before the last that was sent came to it; False if unknown.

    It answers with a reset then, or its end is here before it has acknowledged what was sent.
    Who has read a request and closes acknowledges it first.
    """
    own = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_INFO", None)
    if own is None or option is None:
        return False
    try:
        found = own.getsockopt(socket.IPPROTO_TCP, option, _STATE_AND_UNACKNOWLEDGED.size)
        state, unacknowledged = _STATE_AND_UNACKNOWLEDGED.unpack(found)
    except (OSError, struct.error):
        return False
    return bool(state == _CLOSED_BY_RESET or unacknowledged)
