"""Cuts the requests of a campaign into files that one batch each may hold."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.reading import placed_lines
from batchyard.places.whole import publish
from batchyard.rules.limits import Limits
from batchyard.rules.lines import count_inputs
from batchyard.wire.lines import split_object

__all__ = ["Cut", "InputError", "Sizes", "cut", "requests_of", "write_chunks"]

_BYTES_PER_TOKEN = 4


class InputError(Exception):
    """The input file cannot be sent as it is."""


class Sizes(Struct, frozen=True, kw_only=True):
    """What one chunk may hold."""

    requests: int
    bytes: int
    embedding_inputs: int
    tokens: int | None = None
    mixed_models: bool = False

    @classmethod
    def of(cls, limits: Limits, tokens: int | None) -> "Sizes":
        """What a server with these limits takes; `tokens` is the most that may be enqueued."""
        return cls(
            requests=limits.requests_max,
            bytes=limits.input_bytes_max,
            embedding_inputs=limits.embedding_inputs_max,
            tokens=tokens,
            mixed_models=limits.mixed_models,
        )


class Cut(Struct):
    """A chunk under way."""

    url: str
    lines: list[bytes]
    size: int = 0
    tokens: int = 0
    inputs: int = 0


class _Request(Struct):
    custom_id: str
    url: str
    body: msgspec.Raw


_request_decoder = msgspec.json.Decoder(_Request)


class _Asked(Struct):
    model: str = ""
    input: msgspec.Raw = msgspec.Raw(b'""')


_asked_decoder = msgspec.json.Decoder(_Asked)


def requests_of(path: Path) -> list[str]:
    """The custom_ids of an input; InputError where a line is no request or an id comes twice."""
    seen: dict[str, int] = {}
    for number, (_, line) in enumerate(placed_lines(path), 1):
        try:
            custom_id = _read(line).custom_id
        except (ValueError, KeyError, msgspec.MsgspecError) as error:
            raise InputError(f"Request {number} cannot be read: {error}.") from error
        if custom_id in seen:
            first = seen[custom_id]
            raise InputError(f"Requests {first} and {number} both have the id {custom_id!r}.")
        seen[custom_id] = number
    if not seen:
        raise InputError("The input has no requests.")
    return list(seen)


def cut(lines: Iterable[bytes], sizes: Sizes) -> Iterator[Cut]:
    """Share requests out among chunks, by url and (unless mixed) model; none is ever empty."""
    open_cuts: dict[tuple[str, str], Cut] = {}
    for line in lines:
        found = _read(line)
        asked = _ask_of(bytes(found.body))
        tokens = len(found.body) // _BYTES_PER_TOKEN + 1
        inputs = count_inputs(asked.input) if found.url.endswith("/embeddings") else 0
        line = line.rstrip(b"\r\n") + b"\n"
        kind = (found.url, "" if sizes.mixed_models else asked.model)
        one = open_cuts.get(kind)
        if one is not None and _is_full(one, sizes, len(line), tokens, inputs):
            yield open_cuts.pop(kind)
            one = None
        if one is None:
            one = open_cuts[kind] = Cut(found.url, [])
        one.lines.append(line)
        one.size += len(line)
        one.tokens += tokens
        one.inputs += inputs
    yield from open_cuts.values()


def write_chunks(
    cuts: Iterable[Cut], folder: Path, first: int, round: int, written: Callable[[], object]
) -> tuple[Chunk, ...]:
    """Write the files of chunks, numbered from `first`, and say what they are.

    `written` hears of each file once it is there.
    """
    made = []
    for number, one in enumerate(cuts, first):
        chunk = Chunk(number, round, one.url, len(one.lines), one.tokens)
        publish(folder / f"{chunk.name}.jsonl", one.lines)
        written()
        made.append(chunk)
    return tuple(made)


def _is_full(one: Cut, sizes: Sizes, size: int, tokens: int, inputs: int) -> bool:
    return (
        len(one.lines) >= sizes.requests
        or one.size + size > sizes.bytes
        or one.inputs + inputs > sizes.embedding_inputs
        or (sizes.tokens is not None and one.tokens + tokens > sizes.tokens)
    )


def _read(line: bytes) -> _Request:
    try:
        return _request_decoder.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        parts = split_object(line)
        body = msgspec.Raw(parts["body"])
        return _Request(json.loads(parts["custom_id"]), json.loads(parts["url"]), body)


def _ask_of(body: bytes) -> _Asked:
    try:
        return _asked_decoder.decode(body)
    except msgspec.ValidationError:
        return _Asked()
    except msgspec.DecodeError:
        parts = split_object(body)
        model = json.loads(parts.get("model", b'""'))
        text = msgspec.Raw(parts.get("input", b'""'))
        return _Asked(model if isinstance(model, str) else "", text)
