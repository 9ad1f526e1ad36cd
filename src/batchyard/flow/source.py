"""Reads the request lines of a shard that still lack an answer."""

from collections.abc import Iterator

import msgspec

from batchyard.flow.lanes import Line
from batchyard.flow.recording import HeldShard
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.wire.lines import body_bytes, read_line, read_model

__all__ = ["lines_of", "request_lines", "sound_lines"]

_BOM = b"\xef\xbb\xbf"


def request_lines(span: bytes) -> Iterator[bytes]:
    """The lines of a span that are requests: blank ones are none, and have no position.

    A byte order mark is left out; it can only stand before the first line of a file.
    """
    for line in span.removeprefix(_BOM).split(b"\n"):
        if line and not line.isspace():
            yield line


def lines_of(
    shard: HeldShard, span: bytes, model: str | None, deadline: float
) -> Iterator[tuple[str, Line]]:
    """The unanswered lines of a shard as they go to a lane, each with its model.

    `model` None: each line names its own. `deadline` is of the loop's clock.
    """
    answered = shard.answered
    for position, raw in enumerate(request_lines(span)):
        if not answered >> position & 1:
            line = read_line(raw)
            path = ENDPOINTS[line.url].path
            yield (
                read_model(raw) if model is None else model,
                Line(shard, position, line.custom_id, path, body_bytes(line), deadline),
            )


def sound_lines(
    shard: HeldShard, span: bytes, model: str, deadline: float
) -> list[tuple[str, Line]] | None:
    """The same as a list; None where the span is not the one that was validated."""
    try:
        lines = list(lines_of(shard, span, model, deadline))
    except (msgspec.MsgspecError, KeyError, ValueError):
        return None
    return lines if len(lines) == shard.remaining else None
