"""One result for each input: reads what was collected, says what to ask again, writes the whole."""

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Raw, Struct

from batchyard.client.apis.provider import Trouble
from batchyard.client.campaigns.asking import Anew
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.conforming import Shape, fault_of, shape_of
from batchyard.client.results.outcomes import (
    OUTCOMES,
    Again,
    Attempt,
    Check,
    LineOutcome,
    parts_of,
    read_found,
)
from batchyard.client.results.results import Result, Tried, result_of
from batchyard.places.whole import publish
from batchyard.wire.lines import split_object

__all__ = [
    "CountsError",
    "Ledger",
]

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


class CountsError(Exception):
    """The outcomes do not add up to the inputs; nothing was written."""


class _Asked(Struct, gc=False):
    custom_id: str
    body: Raw = Raw(b"null")


_asked_decoder = msgspec.json.Decoder(_Asked)
_NULL = b"null"
_OPEN_MAX = 64


class Ledger:
    """The attempts of every input, in the order of the input.

    A success stands whatever comes after it; else the newest attempt counts. `duplicates` are
    result lines beyond one per request and batch, `strangers` those that nobody asked for.
    """

    def __init__(
        self,
        folder: Path,
        custom_ids: Sequence[str],
        *,
        accept_cut_off: bool,
        check: Check | None = None,
    ) -> None:
        self._folder, self._ids, self._accept_cut_off = folder, custom_ids, accept_cut_off
        self._check = check
        self._shapes: dict[str, Shape] = {}
        self._index = {custom_id: index for index, custom_id in enumerate(custom_ids)}
        self._newest: list[Attempt | None] = [None] * len(custom_ids)
        self._earlier: dict[int, list[Attempt]] = {}
        self._files: list[Path] = []
        self._opened = _Opened()
        self._batches: dict[int, str | None] = {}
        self.duplicates = self.strangers = 0

    def close(self) -> None:
        """Close what was opened to be read."""
        self._opened.close()

    def add(self, chunk: Chunk) -> list[int]:
        """Take in a chunk that was collected; which inputs will not be asked again."""
        if chunk.status == "split":
            return []
        self._batches[chunk.number] = chunk.batch_id
        indices = self._asked(self._folder / "chunks" / f"{chunk.name}.jsonl")
        found: dict[int, Attempt] = {}
        for kind in ("output", "errors"):
            path = self._folder / "raw" / f"{chunk.name}.{kind}.jsonl"
            if path.exists():
                self._read(path, chunk, indices, found)
        for index, line in indices.items():
            self._note(index, found.get(index) or _without(chunk, line))
        newest = ((index, self._newest[index]) for index in indices)
        return [index for index, one in newest if one is not None and one.again == "no"]

    def add_file(self, path: Path) -> None:
        """Take in a file of results, whoever wrote it; what it does not name stays as it was."""
        number = -1 - len(self._files)
        self._batches[number] = None
        self._files.append(path)
        found: dict[int, Attempt] = {}
        for start, line in placed_lines(path):
            told = result_of(line, accept_cut_off=self._accept_cut_off)
            index = None if told is None else self._index.get(told.custom_id)
            if told is None or index is None:
                self.strangers += 1
                continue
            place = (len(self._files) - 1, start, len(line))
            one = Attempt(number, told.outcome, "no", told.code, told.message, place)
            self._hear(index, one, found)
        for index, one in found.items():
            self._note(index, one)

    def add_missing(self) -> None:
        """What no file has named has the outcome `missing`."""
        for index, one in enumerate(self._newest):
            if one is None:
                self._newest[index] = Attempt(0, "missing", "no", "missing", "No file has it.")
                self._batches[0] = None

    def again(self, rounds_left: int) -> dict[int, Anew]:
        """The inputs that are worth asking again, and how."""
        if rounds_left <= 0:
            return {}
        return {
            index: self._anew(one)
            for index, one in enumerate(self._newest)
            if one is not None and one.again != "no"
        }

    def counts(self) -> dict[str, int]:
        """Inputs by outcome; CountsError unless each has exactly one."""
        counted = Counter(one.outcome for one in self._newest if one is not None)
        if counted.total() != len(self._ids):
            raise CountsError(f"{counted.total():,} outcomes for {len(self._ids):,} inputs.")
        return {name: counted[name] for name in OUTCOMES}

    def write(self, path: Path) -> dict[str, int]:
        """Write one line for each input, in their order, and return the counts."""
        counts = self.counts()
        publish(path, self.lines())
        return counts

    def lines(self) -> Iterator[bytes]:
        """One line for each input, in their order."""
        encode = msgspec.json.Encoder().encode
        for index in range(len(self._ids)):
            yield encode(self.result(index)) + b"\n"

    def _asked(self, path: Path) -> dict[int, int]:
        """The inputs in a chunk and the line of each; what they want to be answered is noted."""
        indices = {}
        for number, (_, line) in enumerate(placed_lines(path), 1):
            asked = _read_asked(line)
            indices[self._index[asked.custom_id]] = number
            shape = shape_of(bytes(asked.body))
            if shape is not None:
                self._shapes[asked.custom_id] = shape
        return indices

    def _judge(self, custom_id: str, text: str) -> tuple[str, str] | None:
        shape = self._shapes.get(custom_id)
        fault = None if shape is None else fault_of(shape, text)
        if fault is not None:
            return "invalid_json", fault
        try:
            if self._check is not None:
                self._check(custom_id, text)
        except (ValueError, AssertionError) as error:
            return "invalid_value", str(error)
        return None

    def _anew(self, one: Attempt) -> Anew:
        if one.again != "corrected" or one.place is None:
            return Anew(one.again)
        _, response, _ = parts_of(self._line(one.place))
        answer = Result(0, "", one.outcome, Raw(response)).text or ""
        return Anew(one.again, answer, one.message)

    def _read(
        self, path: Path, chunk: Chunk, indices: dict[int, int], found: dict[int, Attempt]
    ) -> None:
        number = len(self._files)
        self._files.append(path)
        for start, line in placed_lines(path):
            told = read_found(line, self._judge, accept_cut_off=self._accept_cut_off)
            index = None if told is None else self._index.get(told.custom_id)
            if told is None or index is None or index not in indices:
                self.strangers += 1
                continue
            place = (number, start, len(line))
            one = Attempt(chunk.number, told.outcome, told.again, told.code, told.message, place)
            self._hear(index, one, found)

    def _hear(self, index: int, one: Attempt, found: dict[int, Attempt]) -> None:
        """One of the lines of a batch: the first for a request counts, or the first success."""
        if index not in found:
            found[index] = one
            return
        self.duplicates += 1
        if found[index].outcome != "succeeded" and one.outcome == "succeeded":
            found[index] = one

    def _note(self, index: int, attempt: Attempt) -> None:
        before = self._newest[index]
        if before is None:
            self._newest[index] = attempt
        elif before.outcome == "succeeded":
            self._earlier.setdefault(index, []).append(attempt)
        else:
            self._earlier.setdefault(index, []).append(before)
            self._newest[index] = attempt

    def result(self, index: int) -> Result:
        """What became of an input that has an outcome."""
        one = self._newest[index]
        assert one is not None
        response, error = _NULL, msgspec.json.encode({"code": one.code, "message": one.message})
        if one.place is not None:
            _, response, error = parts_of(self._line(one.place))
        attempts = [self._told(each) for each in (*self._earlier.get(index, ()), one)]
        told = Raw(response or _NULL), Raw(error or _NULL)
        return Result(index + 1, self._ids[index], one.outcome, *told, attempts)

    def _line(self, place: tuple[int, int, int]) -> bytes:
        number, start, length = place
        return self._opened.read(self._files[number], start, length)

    def _told(self, one: Attempt) -> Tried:
        return Tried(self._batches[one.chunk], one.outcome, one.code, one.message)


def _without(chunk: Chunk, line: int) -> Attempt:
    """The attempt of a request that the batch has left without a result line."""
    outcome = _WITHOUT.get(chunk.status, "missing")
    # The answers of a batch that is lost may have been paid for; that is for people to judge.
    again: Again = "same" if chunk.status in ("completed", "expired") else "no"
    code, message = f"batch_{chunk.status}" if chunk.status != "completed" else "missing", ""
    if outcome == "errored":
        named = [one for one in chunk.errors if one.line is not None]
        trouble = next((one for one in named if one.line == line), None)
        if trouble is None and named:
            # Other lines are at fault: without them the same request may pass.
            again, message = "same", "The batch was refused for other lines."
        else:
            trouble = trouble or next(iter(chunk.errors), Trouble(code, ""))
            code, message = trouble.code or code, trouble.message
    return Attempt(chunk.number, outcome, again, code, message)


def _read_asked(line: bytes) -> _Asked:
    try:
        return _asked_decoder.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        parts = split_object(line)
        return _Asked(json.loads(parts["custom_id"]), Raw(parts["body"]))


class _Opened:
    """Files to read from; not too many of them are open at once."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, IO[bytes]] = OrderedDict()

    def read(self, path: Path, start: int, length: int) -> bytes:
        """A part of a file."""
        file = self._files.get(path)
        if file is None:
            if len(self._files) >= _OPEN_MAX:
                self._files.popitem(last=False)[1].close()
            file = self._files[path] = path.open("rb")
        self._files.move_to_end(path)
        file.seek(start)
        return file.read(length)

    def close(self) -> None:
        """Close all of them."""
        while self._files:
            self._files.popitem()[1].close()
