"""One result for each input: reads what was collected, says what to ask again, writes the whole."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from batchyard.client.apis.provider import Trouble
from batchyard.client.campaigns.asking import Anew
from batchyard.client.campaigns.cutting import numbers_of
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.answers import id_of
from batchyard.client.results.attempts import Attempt, Attempts, History, rendered
from batchyard.client.results.conforming import Shape, Wanted, fault_of, shape_of
from batchyard.client.results.outcomes import (
    OUTCOMES,
    Again,
    Check,
    Found,
    LineOutcome,
    parts_of,
    read_found,
)
from batchyard.client.results.results import Result
from batchyard.places.whole import publish
from batchyard.wire.lines import split_object

__all__ = ["CountsError", "Ledger"]

# What a line without a result line is, by the status of its batch.
_WITHOUT: dict[str, LineOutcome] = {
    "completed": "missing",
    "lost": "missing",
    "expired": "expired",
    "cancelled": "cancelled",
    "dropped": "cancelled",
    "failed": "errored",
    "refused": "errored",
}
# A chunk with more requests is read in turns, each for a part of them.
_TOGETHER = 1 << 16
_KINDS = ("output", "errors")


class CountsError(Exception):
    """The outcomes do not add up to the inputs; nothing was written."""


class _Asked(Struct, gc=False):
    custom_id: str
    body: Wanted


class _Request(Struct, gc=False):
    """A request of a chunk: which input it is, its line in the chunk, and where that stands."""

    number: int
    line: int
    file: int
    start: int
    length: int
    shape: Shape | None


class _Turn(Struct, frozen=True):
    """One of the parts in which a chunk is read."""

    number: int
    of: int

    def has(self, custom_id: str) -> bool:
        return self.of == 1 or hash(custom_id) % self.of == self.number


_asked_decoder = msgspec.json.Decoder(_Asked)


class Ledger:
    """The attempts of every input, in the order of the input.

    A success stands whatever comes after it; else the newest attempt counts. `duplicates` are
    result lines beyond one per request and batch, of which the first counts, or the first success;
    `strangers` are those that nobody asked for. What is in memory does not grow with the input.
    """

    def __init__(
        self,
        folder: Path,
        requests: int,
        *,
        accept_cut_off: bool,
        check: Check | None = None,
    ) -> None:
        self._folder, self._requests, self._accept_cut_off = folder, requests, accept_cut_off
        self._check = check
        self._attempts = Attempts(folder)
        # The requests of the chunk that is being read.
        self._asked: dict[str, _Request] = {}
        self._firsts = self.duplicates = self.strangers = 0

    def close(self) -> None:
        """Close what was opened to be read."""
        self._attempts.close()

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk that was collected."""
        if chunk.status == "split":
            return
        self._attempts.batches[chunk.number] = chunk.batch_id
        paths = [self._folder / "raw" / f"{chunk.name}.{kind}.jsonl" for kind in _KINDS]
        files = [(self._attempts.file(path), path) for path in paths if path.exists()]
        turns = -(-chunk.lines // _TOGETHER) or 1
        for number in range(turns):
            self._add(chunk, files, _Turn(number, turns))

    def final(self, chunk: Chunk) -> Iterator[Result]:
        """The results of a chunk that was taken in and will not be asked again."""
        if chunk.status != "split":
            for history in self._attempts.of(numbers_of(self._path(chunk))):
                if history[0].again == "no":
                    yield self._result(history)

    def again(self, rounds_left: int) -> Iterator[tuple[int, bytes, Anew]]:
        """The inputs that are worth asking again: number, request as last asked, and how."""
        if rounds_left > 0:
            for one, _ in self._attempts.unsettled():
                yield one.number, self._attempts.asked(one), self._anew(one)

    def write(self, path: Path) -> dict[str, int]:
        """Write one line for each input, in their order, and return the counts by outcome.

        Raises CountsError unless each has exactly one, and then leaves nothing.
        """
        counts = Counter[str]()
        publish(path, self._counted(counts))
        return {name: counts[name] for name in OUTCOMES}

    def results(self) -> Iterator[Result]:
        """One result for each input, in their order."""
        yield from map(self._result, self._attempts.all())

    def _counted(self, counts: Counter[str]) -> Iterator[bytes]:
        if self._firsts != self._requests:
            raise CountsError(f"{self._firsts:,} outcomes for {self._requests:,} inputs.")
        asked = (id_of(line) for _, line in placed_lines(self._folder / "input.jsonl"))
        for number, (custom_id, one) in enumerate(zip_longest(asked, self.results()), 1):
            if custom_id is None or one is None or one.custom_id != custom_id:
                raise CountsError(f"Input {number:,} has not exactly one outcome.")
            counts[one.outcome] += 1
            yield rendered(one)

    def _path(self, chunk: Chunk) -> Path:
        return self._folder / "chunks" / f"{chunk.name}.jsonl"

    def _result(self, history: History) -> Result:
        return self._attempts.result(history, history[0].number + 1)

    def _add(self, chunk: Chunk, files: Sequence[tuple[int, Path]], turn: _Turn) -> None:
        self._asked = dict(self._requests_of(chunk, turn))
        found: dict[str, Attempt] = {}
        for file, path in files:
            for start, line in placed_lines(path):
                told = read_found(line, self._judge, accept_cut_off=self._accept_cut_off)
                if told is None:
                    self.strangers += turn.number == 0
                elif (request := self._asked.get(told.custom_id)) is None:
                    self.strangers += turn.has(told.custom_id)
                else:
                    one = _attempt(chunk, request, told, file, start, len(line))
                    self._hear(one, found)
        self._attempts.add(
            found.get(custom_id) or _without(chunk, custom_id, request)
            for custom_id, request in self._asked.items()
        )
        self._firsts += len(self._asked) if chunk.round == 1 else 0
        self._asked = {}

    def _requests_of(self, chunk: Chunk, turn: _Turn) -> Iterator[tuple[str, _Request]]:
        """The requests in a chunk; what they want to be answered is noted."""
        path = self._path(chunk)
        file = self._attempts.file(path)
        lines = zip(numbers_of(path), placed_lines(path), strict=False)
        for line, (number, (start, text)) in enumerate(lines, 1):
            custom_id, shape = _read_asked(text)
            if turn.has(custom_id):
                yield custom_id, _Request(number, line, file, start, len(text), shape)

    def _judge(self, custom_id: str, text: str) -> tuple[str, str] | None:
        request = self._asked.get(custom_id)
        if request is None:
            return None
        fault = None if request.shape is None else fault_of(request.shape, text)
        if fault is not None:
            return "invalid_json", fault
        try:
            if self._check is not None:
                self._check(custom_id, text)
        except (ValueError, AssertionError) as error:
            return "invalid_value", str(error)
        return None

    def _hear(self, one: Attempt, found: dict[str, Attempt]) -> None:
        """One of the lines of a batch: the first for a request counts, or the first success."""
        before = found.setdefault(one.custom_id, one)
        if before is not one:
            self.duplicates += 1
            if before.outcome != "succeeded" and one.outcome == "succeeded":
                found[one.custom_id] = one

    def _anew(self, one: Attempt) -> Anew:
        if one.again != "corrected" or one.file < 0:
            return Anew(one.again)
        _, response, _ = parts_of(self._attempts.line(one))
        answer = Result(0, "", one.outcome, Raw(response)).text or ""
        return Anew(one.again, answer, one.message)


def _attempt(
    chunk: Chunk, request: _Request, told: Found, file: int = -1, start: int = 0, length: int = 0
) -> Attempt:
    return Attempt(
        request.number,
        told.custom_id,
        chunk.number,
        told.outcome,
        told.again,
        told.code,
        told.message,
        file,
        start,
        length,
        request.file,
        request.start,
        request.length,
    )


def _without(chunk: Chunk, custom_id: str, request: _Request) -> Attempt:
    """The attempt of a request that the batch has left without a result line."""
    outcome = _WITHOUT.get(chunk.status, "missing")
    # The answers of a batch that is lost may have been paid for; that is for people to judge.
    again: Again = "same" if chunk.status in ("completed", "expired") else "no"
    code, message = f"batch_{chunk.status}" if chunk.status != "completed" else "missing", ""
    if outcome == "errored":
        named = [one for one in chunk.errors if one.line is not None]
        trouble = next((one for one in named if one.line == request.line), None)
        if trouble is None and named:
            # Other lines are at fault: without them the same request may pass.
            again, message = "same", "The batch was refused for other lines."
        else:
            trouble = trouble or next(iter(chunk.errors), Trouble(code, ""))
            code, message = trouble.code or code, trouble.message
    return _attempt(chunk, request, Found(custom_id, outcome, again, code, message))


def _read_asked(line: bytes) -> tuple[str, Shape | None]:
    """The custom_id of a request, and what its answer has to be."""
    try:
        asked = _asked_decoder.decode(line)
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        parts = split_object(line)
        return str(json.loads(parts["custom_id"])), shape_of(parts["body"])
    return asked.custom_id, asked.body.shape
