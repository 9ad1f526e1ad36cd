"""Reads the request lines of a shard that still lack an answer."""

from collections.abc import Iterator

from batchyard.flow.lanes import Line
from batchyard.flow.recording import HeldShard
from batchyard.places.blobs import Blobs
from batchyard.places.store.rows import Content
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.wire.lines import body_bytes, read_line

__all__ = ["lines_of", "read_span", "request_lines"]


def read_span(blobs: Blobs, content: Content, start: int, size_bytes: int) -> bytes:
    """The bytes of a run of lines; an input file is one blob."""
    (part,) = content.parts
    return b"".join(blobs.chunks(part.blob, start=start, length=size_bytes))


def request_lines(span: bytes) -> Iterator[bytes]:
    """The lines of a span that are requests: blank ones are none, and have no index."""
    for line in span.split(b"\n"):
        if line and not line.isspace():
            yield line


def lines_of(shard: HeldShard, span: bytes, deadline: float) -> Iterator[Line]:
    """The unanswered lines of a shard, as they go to a lane.

    A byte order mark is left out; it can only stand before the first line of a file.
    """
    answered = shard.answered
    for position, raw in enumerate(request_lines(span.removeprefix(b"\xef\xbb\xbf"))):
        if not answered >> position & 1:
            line = read_line(raw)
            path = ENDPOINTS[line.url].path
            yield Line(shard, position, line.custom_id, path, body_bytes(line), deadline)
