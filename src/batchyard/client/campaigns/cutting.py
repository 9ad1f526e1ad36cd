"""Cuts the requests of a campaign into files that one batch each may hold."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.reading import placed_lines
from batchyard.places.repeats import Repeats
from batchyard.places.whole import publish
from batchyard.rules.limits import Limits
from batchyard.rules.lines import count_inputs
from batchyard.wire.lines import split_object

__all__ = [
    "Cut",
    "InputError",
    "Sizes",
    "count_requests",
    "cut",
    "numbers_of",
    "write_chunks",
    "write_whole",
]

_BYTES_PER_TOKEN = 4
_PIECE_BYTES = 1 << 20


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
    """A chunk under way; `runs` says which inputs its lines are: first and how many, run by run."""

    url: str
    lines: list[bytes]
    runs: list[list[int]]
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


def count_requests(path: Path) -> int:
    """How many requests an input has.

    Raises InputError where a line is no request, an id comes twice, or there are none.
    """
    fault, number = "", 0
    with Repeats(path.parent) as repeats:
        for number, (_, line) in enumerate(placed_lines(path), 1):
            try:
                repeats.add(number, _read(line).custom_id)
            except (ValueError, KeyError, msgspec.MsgspecError) as error:
                fault = f"Request {number} cannot be read: {error}."
                break
        ids = (_read(line).custom_id for _, line in placed_lines(path))
        repeat = repeats.first(islice(ids, number - bool(fault)))
    if repeat is not None:
        fault = f"Requests {repeat[0]} and {repeat[1]} both have the id {repeat[2]!r}."
    if fault or not number:
        raise InputError(fault or "The input has no requests.")
    return number


def cut(requests: Iterable[tuple[int, bytes]], sizes: Sizes) -> Iterator[Cut]:
    """Share requests out among chunks, by url and (unless mixed) model; none is ever empty.

    Each has the number of its input, from 0, by which they come in order.
    """
    open_cuts: dict[tuple[str, str], Cut] = {}
    for number, line in requests:
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
            one = open_cuts[kind] = Cut(found.url, [], [])
        one.lines.append(line)
        if one.runs and sum(one.runs[-1]) == number:
            one.runs[-1][1] += 1
        else:
            one.runs.append([number, 1])
        one.size += len(line)
        one.tokens += tokens
        one.inputs += inputs
    yield from open_cuts.values()


def write_chunks(
    cuts: Iterable[Cut], folder: Path, first: int, round: int, written: Callable[[], object]
) -> tuple[Chunk, ...]:
    """Write the files of chunks, numbered from `first`, and say what they are.

    Beside each stands which inputs its lines are. `written` hears of each file once it is there.
    """
    made = []
    for number, one in enumerate(cuts, first):
        chunk = Chunk(number, round, one.url, len(one.lines), one.tokens)
        path = folder / f"{chunk.name}.jsonl"
        publish(_runs_path(path), msgspec.json.encode(one.runs) + b"\n")
        publish(path, one.lines)
        written()
        made.append(chunk)
    return tuple(made)


def write_whole(source: Path, folder: Path) -> Chunk:
    """Write an input as it stands as the file of the only chunk, and say what that is."""
    lines = count_requests(source)
    chunk = Chunk(number=0, round=1, url="", lines=lines, tokens=0)
    path = folder / f"{chunk.name}.jsonl"
    publish(_runs_path(path), msgspec.json.encode([(0, lines)]) + b"\n")
    with source.open("rb") as file:
        publish(path, iter(lambda: file.read(_PIECE_BYTES), b""))
    return chunk


def numbers_of(path: Path) -> Iterator[int]:
    """Which inputs the lines of a chunk are, from 0; they rise."""
    runs = msgspec.json.decode(_runs_path(path).read_bytes(), type=list[tuple[int, int]])
    return chain.from_iterable(range(first, first + length) for first, length in runs)


def _runs_path(path: Path) -> Path:
    return path.with_suffix(".inputs.json")


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
