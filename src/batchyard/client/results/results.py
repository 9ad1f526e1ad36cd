"""The result of one request, of a campaign or of any file of results, read in every way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from batchyard.client.building.schema import read_as
from batchyard.client.results.outcomes import LineOutcome, parts_of, read_found, texts_of
from batchyard.wire.lines import AnswerFacts, read_answer, split_object

__all__ = [
    "Result",
    "ResultError",
    "Tried",
    "facts_of",
    "read_results",
    "result_of",
]

_NULL = Raw(b"null")


class ResultError(ValueError):
    """A result that has no answer was asked for one."""


class Tried(Struct, frozen=True, gc=False):
    """How a request ended in one batch; `code` and `message` are empty where it succeeded."""

    batch_id: str | None
    outcome: LineOutcome
    code: str = ""
    message: str = ""


class Result(Struct, frozen=True):
    """What became of one request; `line` counts requests of the input from 1.

    `attempts` are all of its batches, oldest first. `response` and `error` are as the server
    wrote them, except that the error of what has no result line is our own.
    """

    line: int
    custom_id: str
    outcome: LineOutcome
    response: Raw = _NULL
    error: Raw = _NULL
    attempts: list[Tried] = []

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer that counts."""
        return self.outcome == "succeeded"

    @property
    def body(self) -> Any:
        """The body of the answer; None where there is none."""
        response = _loads(bytes(self.response))
        return response.get("body") if isinstance(response, dict) else None

    @property
    def text(self) -> str | None:
        """The text of the answer's first choice; None where it has none."""
        return next(iter(texts_of(self.body)), None)

    @property
    def code(self) -> str:
        """Why it did not succeed, in a word; empty where it did."""
        return "" if self.succeeded or not self.attempts else self.attempts[-1].code

    @property
    def message(self) -> str:
        """Why it did not succeed, in a sentence; empty where it did."""
        return "" if self.succeeded or not self.attempts else self.attempts[-1].message

    def value(self, shape: Any) -> Any:
        """The answer as a Pydantic model, dataclass, TypedDict or (by a JSON Schema) plain JSON.

        Raises ResultError where the request did not succeed, ValueError where it does not fit.
        """
        text = self.text
        if not self.succeeded or text is None:
            raise ResultError(f"{self.custom_id} is {self.outcome}: {self.message or self.code}")
        return read_as(shape, text)


class _Marks(Struct, gc=False):
    outcome: LineOutcome | None = None
    attempts: list[Tried] = []


class _Told(Struct, gc=False):
    custom_id: str
    response: Raw = _NULL
    error: Raw = _NULL
    outcome: LineOutcome | None = None
    attempts: list[Tried] = []


class _Response(Struct, gc=False):
    body: Raw = Raw(b"null")


def read_results(path: Path) -> Iterator[Result]:
    """The results in a file of results, one after the other."""
    with path.open("rb") as file:
        for line in file:
            yield _read(line)


def result_of(line: bytes, number: int = 0, *, accept_cut_off: bool = True) -> Result | None:
    """The result that a line tells, with `number` as its line; None where it tells none.

    Of a campaign's line, what the campaign has made of it counts.
    """
    try:
        told = _told(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Told("")
    if told.outcome is not None and told.attempts:
        parts = told.response, told.error
        return Result(number, told.custom_id, told.outcome, *parts, told.attempts)
    found = read_found(line, _accept, accept_cut_off=accept_cut_off)
    if found is None:
        return None
    response, error = told.response, told.error
    marks: _Told | _Marks = told
    if not told.custom_id:
        marks = _marks_of(line)
        _, *found_parts = parts_of(line)
        response, error = map(Raw, found_parts)
    outcome = marks.outcome or found.outcome
    attempts = marks.attempts or [Tried(None, outcome, found.code, found.message)]
    return Result(number, found.custom_id, outcome, response, error, attempts)


def facts_of(result: Result) -> AnswerFacts | None:
    """The tokens of an answer; None where there is none, or none that is sound."""
    try:
        response = _response(result.response)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if response is None else read_answer(bytes(response.body))


def _read(line: bytes) -> Result:
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        parts: dict[str, Any] = {name: Raw(one) for name, one in split_object(line).items()}
        for name in ("line", "custom_id", "outcome"):
            parts[name] = json.loads(bytes(parts[name]))
        parts["attempts"] = msgspec.convert(json.loads(bytes(parts["attempts"])), list[Tried])
        return Result(**parts)


def _loads(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(text.decode(errors="replace"))


def _accept(_custom_id: str, _text: str) -> None:
    return None


def _marks_of(line: bytes) -> _Marks:
    try:
        return _marks(line)
    except msgspec.ValidationError:
        return _Marks()
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        parts = split_object(line)
        kept = {name: json.loads(parts[name]) for name in ("outcome", "attempts") if name in parts}
    try:
        return msgspec.convert(kept, _Marks)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return _Marks()


_decoder = msgspec.json.Decoder(Result)
_response = msgspec.json.Decoder(_Response | None).decode
_told = msgspec.json.Decoder(_Told).decode
_marks = msgspec.json.Decoder(_Marks).decode
