"""Reads the request lines of a shard that still lack an answer."""

from collections.abc import Iterable, Iterator

import msgspec

from batchyard.flow.lanes import Line
from batchyard.flow.shards import HeldShard
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.wire.lines import BOM, RequestLine, body_bytes, model_of, read_line, read_lines

__all__ = ["lines_of", "request_lines", "sound_lines"]

_PATHS = {url: endpoint.path for url, endpoint in ENDPOINTS.items()}


def request_lines(span: bytes) -> Iterator[bytes]:
    """The lines of a span that are requests: blank ones are none, and have no position.

    A byte order mark is left out; it can only stand before the first line of a file.
    """
    for line in span.removeprefix(BOM).split(b"\n"):
        if line and not line.isspace():
            yield line


def lines_of(
    shard: HeldShard, span: bytes, model: str | None, deadline: float
) -> dict[str, list[Line]]:
    """The unanswered lines of a shard as they go to the lanes, by model.

    `model` None: each line names its own. `deadline` is of the loop's clock.
    """
    lines = _lines(shard, span, deadline)
    if model is not None:
        return {model: lines}
    by_model: dict[str, list[Line]] = {}
    for line in lines:
        by_model.setdefault(model_of(line.body), []).append(line)
    return by_model


def sound_lines(shard: HeldShard, span: bytes, deadline: float) -> list[Line] | None:
    """The unanswered lines; None where the span is not the one that was validated."""
    try:
        lines = _lines(shard, span, deadline)
    except (msgspec.MsgspecError, LookupError, ValueError):
        return None
    return lines if len(lines) == shard.remaining else None


def _lines(shard: HeldShard, span: bytes, deadline: float) -> list[Line]:
    return [
        Line(shard, position, one.custom_id, _PATHS[one.url], body_bytes(one), deadline)
        for position, one in enumerate(_requests(span))
        if shard.lacks(position)
    ]


def _requests(span: bytes) -> Iterable[RequestLine]:
    try:
        return read_lines(span.removeprefix(BOM))
    except msgspec.DecodeError:
        return map(read_line, request_lines(span))
