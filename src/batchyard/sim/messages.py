"""One request as it came, one reply as it goes, and how a reply is put into HTTP."""

from http import HTTPStatus

from msgspec import Struct

__all__ = ["Head", "Reply", "Request", "render", "render_head"]


class Head(Struct, frozen=True, gc=False):
    """What matters of a request's head; `key` is what the client calls its request."""

    method: str
    path: str
    media_type: bytes
    key: str | None
    body_bytes: int
    keep_alive: bool
    is_counted: bool


class Request(Struct, frozen=True, gc=False):
    """A whole HTTP request; `arrived` is steady time."""

    head: Head
    body: bytes
    digest: bytes
    arrived: float


class Reply(Struct, frozen=True, gc=False):
    """An answer before it is HTTP.

    `tokens` is how much was written, for latencies that count it. `fault` names what goes wrong,
    for the log, and `is_broken` says that the answer breaks on the wire as that fault does.
    """

    body: bytes
    status: int = 200
    media_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    tokens: int = 0
    delay_seconds: float = 0.0
    fault: str | None = None
    is_broken: bool = False


def render(reply: Reply, *, keep_alive: bool = True) -> bytes:
    """The reply as HTTP/1.1."""
    if keep_alive and reply.status == 200 and not reply.headers:
        return _PLAIN % (reply.media_type, len(reply.body), reply.body)
    return render_head(reply, len(reply.body), keep_alive=keep_alive) + reply.body


def render_head(reply: Reply, length: int | None, *, keep_alive: bool = True) -> bytes:
    """Status line and headers; without a length the body is to be chunked."""
    head = _status_line(reply.status) + b"content-type: %b\r\n" % reply.media_type
    for name, value in reply.headers:
        head += b"%b: %b\r\n" % (name, value)
    if not keep_alive:
        head += b"connection: close\r\n"
    if length is None:
        return head + b"transfer-encoding: chunked\r\n\r\n"
    return head + b"content-length: %d\r\n\r\n" % length


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or _compose(status, "Unassigned")


def _compose(status: int, phrase: str) -> bytes:
    # Every answer says who gives it.
    return f"HTTP/1.1 {status} {phrase}\r\nserver: batchyard-sim (simulated)\r\n".encode()


_PLAIN = _compose(200, "OK") + b"content-type: %b\r\ncontent-length: %d\r\n\r\n%b"
_STATUS_LINES = {one.value: _compose(one.value, one.phrase) for one in HTTPStatus}
