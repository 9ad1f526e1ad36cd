"""Cuts the requests of a campaign into files that one batch each may hold."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.reading import placed_lines
from batchyard.places.repeats import Repeats
from batchyard.places.whole import install, publish
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
_HELD_BYTES = 1 << 18


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
    """A chunk under way; `runs` says which inputs its lines are: first and how many, run by run.

    Its lines go to a file beside its place, a few at a time, for many chunks may be under way.
    """

    number: int
    url: str
    path: Path
    runs: list[list[int]]
    held: list[bytes]
    held_bytes: int = 0
    lines: int = 0
    size: int = 0
    tokens: int = 0
    inputs: int = 0

    @property
    def beside(self) -> Path:
        """Where its lines are until all are there."""
        return self.path.with_name(self.path.name + ".part")

    def done(self) -> "Cut":
        """The same with nothing held."""
        self.write()
        return self

    def add(self, number: int, line: bytes) -> None:
        """Take in a request, by the number of its input."""
        if self.runs and sum(self.runs[-1]) == number:
            self.runs[-1][1] += 1
        else:
            self.runs.append([number, 1])
        self.held.append(line)
        self.held_bytes += len(line)
        self.lines += 1
        self.size += len(line)
        if self.held_bytes >= _HELD_BYTES:
            self.write()

    def write(self) -> None:
        """Write what is held."""
        is_first = self.held_bytes == self.size
        with self.beside.open("wb" if is_first else "ab") as file:
            file.writelines(self.held)
        self.held, self.held_bytes = [], 0


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
                fault = f"Request {number} cannot be read: {_why(line, error)}."
                break
        ids = (_read(line).custom_id for _, line in placed_lines(path))
        repeat = repeats.first(islice(ids, number - bool(fault)))
    if repeat is not None:
        fault = f"Requests {repeat[0]} and {repeat[1]} both have the id {repeat[2]!r}."
    if fault or not number:
        raise InputError(fault or "The input has no requests.")
    return number


def cut(
    requests: Iterable[tuple[int, bytes]], sizes: Sizes, folder: Path, first: int
) -> Iterator[Cut]:
    """Share requests out among chunks, by url and (unless mixed) model; none is ever empty.

    Each has the number of its input, from 0, by which they come in order. Chunks are numbered from
    `first` on; those that are done come with their lines written beside their places in `folder`.
    """
    open_cuts: dict[tuple[str, str], Cut] = {}
    numbers = count(first)
    try:
        for number, line in requests:
            found = _read(line)
            asked = _ask_of(bytes(found.body))
            tokens = len(found.body) // _BYTES_PER_TOKEN + 1
            inputs = count_inputs(asked.input) if found.url.endswith("/embeddings") else 0
            line = line.rstrip(b"\r\n") + b"\n"
            kind = (found.url, "" if sizes.mixed_models else asked.model)
            one = open_cuts.get(kind)
            if one is not None and _is_full(one, sizes, len(line), tokens, inputs):
                yield one.done()
                one = None
            if one is None:
                own = next(numbers)
                one = Cut(own, found.url, folder / f"{own:06d}.jsonl", [], [])
                open_cuts[kind] = one
            one.add(number, line)
            one.tokens += tokens
            one.inputs += inputs
        for one in open_cuts.values():
            yield one.done()
    finally:
        for one in open_cuts.values():
            one.beside.unlink(missing_ok=True)


def write_chunks(
    cuts: Iterable[Cut], round: int, written: Callable[[], object]
) -> tuple[Chunk, ...]:
    """Have the files of chunks take their places, and say what they are.

    Beside each stands which inputs its lines are. `written` hears of each file once it is there.
    """
    made = []
    for one in cuts:
        publish(_runs_path(one.path), msgspec.json.encode(one.runs) + b"\n")
        install(one.beside, one.path)
        written()
        made.append(Chunk(one.number, round, one.url, one.lines, one.tokens))
    return tuple(sorted(made, key=lambda chunk: chunk.number))


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


def _why(line: bytes, error: Exception) -> str:
    if not line.lstrip().startswith(b"{"):
        return "it is no JSON object. Of the rows of a table, `batchyard make` makes requests"
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _runs_path(path: Path) -> Path:
    return path.with_suffix(".inputs.json")


def _is_full(one: Cut, sizes: Sizes, size: int, tokens: int, inputs: int) -> bool:
    return (
        one.lines >= sizes.requests
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
