"""How a file is cut into chunks that a target takes, and in which order those fit its queue.

One pass, a counter for each open chunk: lines go to the open chunk of their endpoint and model,
which is closed when the next line does not fit. No chunk is ever empty.
"""

from collections.abc import Iterable, Iterator
from sys import maxsize

import msgspec
from msgspec import Raw, Struct

from batchyard.client.apis.targets import Target
from batchyard.client.examining.reading import Line
from batchyard.rules.endpoints import EMBEDDINGS, ENDPOINTS
from batchyard.rules.lines import count_inputs

__all__ = ["Bounds", "Chunk", "Misfit", "bounds_of", "plan", "waves"]

_BYTES_PER_TOKEN = 4


class Bounds(Struct, frozen=True, kw_only=True):
    """What a chunk may have at most; `mixed_models` lets several models share a chunk."""

    requests: int = maxsize
    bytes: int = maxsize
    embedding_inputs: int = maxsize
    tokens: int = maxsize
    mixed_models: bool = False


class Chunk(Struct, kw_only=True):
    """A batch to be: its place in the plan from 1, and what it has so far."""

    number: int
    endpoint: str
    model: str | None
    requests: int = 0
    bytes: int = 0
    embedding_inputs: int = 0
    body_bytes: int = 0
    first_line: int = 0
    last_line: int = 0

    @property
    def tokens(self) -> int:
        """Input tokens, estimated from the bytes of the bodies."""
        return self.body_bytes // _BYTES_PER_TOKEN


class Misfit(ValueError):
    """A line that no chunk can take; the message says why and where."""


class _Body(Struct, gc=False):
    model: str = ""
    input: Raw = Raw(b'""')


class _Row(Struct, gc=False):
    url: str
    body: Raw


def bounds_of(target: Target, **changes: int | None) -> Bounds:
    """The bounds of a target; narrower ones that are given count instead."""
    limits = target.limits
    wide = {
        "requests": limits.requests_max,
        "bytes": limits.input_bytes_max,
        "embedding_inputs": limits.embedding_inputs_max,
        "tokens": target.enqueued_tokens_max or maxsize,
    }
    narrow = {name: min(most, changes.get(name) or maxsize) for name, most in wide.items()}
    return Bounds(mixed_models=limits.mixed_models, **narrow)


def plan(lines: Iterable[Line], bounds: Bounds) -> Iterator[tuple[Chunk, bytes]]:
    """Each line with the chunk it belongs to, in the order of the file.

    A chunk is complete when the file is at its end. Raises Misfit at a line that cannot be read
    or is too large for a chunk of its own.
    """
    opened: dict[tuple[str, str | None], Chunk] = {}
    number = 0
    for place, line in lines:
        endpoint, model, alone = _weighed(place, line, bounds)
        chunk = opened.get((endpoint, model))
        if chunk is None or not _fits(chunk, alone, bounds):
            _refuse_misfit(alone, bounds)
            number += 1
            chunk = opened[endpoint, model] = Chunk(
                number=number, endpoint=endpoint, model=model, first_line=place
            )
        chunk.requests += 1
        chunk.bytes += alone.bytes
        chunk.embedding_inputs += alone.embedding_inputs
        chunk.body_bytes += alone.body_bytes
        chunk.last_line = place
        yield chunk, line


def waves(chunks: Iterable[Chunk], enqueued_tokens_max: int | None) -> list[list[int]]:
    """Which chunks may be enqueued together: their numbers, one list after the other.

    A queue counts for each model; a chunk goes with the first wave that has room for it.
    """
    room: list[dict[str | None, int]] = []
    order: list[list[int]] = []
    most = enqueued_tokens_max or maxsize
    for chunk in chunks:
        fits = (place for place, taken in enumerate(room) if _has_room(taken, chunk, most))
        place = next(fits, len(room))
        if place == len(room):
            room.append({})
            order.append([])
        room[place][chunk.model] = room[place].get(chunk.model, 0) + chunk.tokens
        order[place].append(chunk.number)
    return order


def _has_room(taken: dict[str | None, int], chunk: Chunk, most: int) -> bool:
    return taken.get(chunk.model, 0) + chunk.tokens <= most


def _weighed(place: int, line: bytes, bounds: Bounds) -> tuple[str, str | None, Chunk]:
    try:
        row = _row(line)
        body = _body(row.body)
        inputs = count_inputs(body.input) if row.url == EMBEDDINGS else 0
    except (msgspec.DecodeError, ValueError) as error:
        raise Misfit(f"line {place} cannot be read: {error}; `batchyard check` says more") from None
    endpoint = ENDPOINTS[row.url].url if row.url in ENDPOINTS else row.url
    model = None if bounds.mixed_models else body.model
    alone = Chunk(
        number=0,
        endpoint=endpoint,
        model=model,
        requests=1,
        bytes=len(line) + 1,
        embedding_inputs=inputs,
        body_bytes=len(bytes(row.body)),
        first_line=place,
    )
    return endpoint, model, alone


def _fits(chunk: Chunk, one: Chunk, bounds: Bounds) -> bool:
    return (
        chunk.requests + one.requests <= bounds.requests
        and chunk.bytes + one.bytes <= bounds.bytes
        and chunk.embedding_inputs + one.embedding_inputs <= bounds.embedding_inputs
        and (chunk.body_bytes + one.body_bytes) // _BYTES_PER_TOKEN <= bounds.tokens
    )


def _refuse_misfit(one: Chunk, bounds: Bounds) -> None:
    for found, most, what in (
        (one.bytes, bounds.bytes, "bytes"),
        (one.embedding_inputs, bounds.embedding_inputs, "embedding inputs"),
        (one.tokens, bounds.tokens, "input tokens"),
    ):
        if found > most:
            raise Misfit(
                f"line {one.first_line} has {found:,} {what}; a chunk may have at most {most:,}"
            )


_row = msgspec.json.Decoder(_Row).decode
_body = msgspec.json.Decoder(_Body).decode
