"""Reads the request lines of a shard that still lack an answer."""

from collections.abc import Iterable, Iterator

import msgspec

from batchyard.flow.lanes import Line
from batchyard.flow.recording import HeldShard
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.wire.lines import BOM, RequestLine, body_bytes, model_of, read_line, read_lines

__all__ = ["lines_of", "request_lines", "sound_lines"]


def request_lines(span: bytes) -> Iterator[bytes]:
    """The lines of a span that are requests: blank ones are none, and have no position.

    A byte order mark is left out; it can only stand before the first line of a file.
    """
    for line in span.removeprefix(BOM).split(b"\n"):
        if line and not line.isspace():
            yield line


def lines_of(
    shard: HeldShard, span: bytes, model: str | None, deadline: float
) -> Iterator[tuple[str, Line]]:
    """The unanswered lines of a shard as they go to a lane, each with its model.

    `model` None: each line names its own. `deadline` is of the loop's clock.
    """
    answered = shard.answered
    for position, request in enumerate(_requests(span)):
        if not answered >> position & 1:
            body = body_bytes(request)
            path = ENDPOINTS[request.url].path
            line = Line(shard, position, request.custom_id, path, body, deadline)
            yield (model_of(body) if model is None else model), line


def sound_lines(
    shard: HeldShard, span: bytes, model: str, deadline: float
) -> list[tuple[str, Line]] | None:
    """The same as a list; None where the span is not the one that was validated."""
    try:
        lines = list(lines_of(shard, span, model, deadline))
    except (msgspec.MsgspecError, KeyError, ValueError):
        return None
    return lines if len(lines) == shard.remaining else None


def _requests(span: bytes) -> Iterable[RequestLine]:
    try:
        return read_lines(span.removeprefix(BOM))
    except msgspec.DecodeError:
        return map(read_line, request_lines(span))
