"""A line of any file of results, be it a provider's or a campaign's, as one kind of result."""

import json

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.outcomes import LineOutcome, parts_of, read_found
from batchyard.client.results import Result, Tried
from batchyard.wire.lines import AnswerFacts, read_answer, split_object

__all__ = ["facts_of", "is_result", "result_of"]


class _Marks(Struct, gc=False):
    outcome: LineOutcome | None = None
    attempts: list[Tried] = []


class _Shape(Struct, gc=False):
    custom_id: str
    response: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Response(Struct, gc=False):
    body: Raw = Raw(b"null")


def is_result(line: bytes) -> bool:
    """Whether a line is one of results, rather than of requests."""
    try:
        shape = _shape(line)
    except (msgspec.DecodeError, RecursionError):
        return b'"response"' in line and b'"error"' in line
    return shape.response is not UNSET or shape.error is not UNSET


def result_of(line: bytes, number: int = 0) -> Result | None:
    """The result that a line tells, with `number` as its line; None where it tells none.

    An answer that was cut off by its cap is an answer here, unless a campaign says otherwise.
    """
    found = read_found(line, _accept, accept_cut_off=True)
    if found is None or not is_result(line):
        return None
    marks = _marks_of(line)
    _, response, error = parts_of(line)
    outcome = marks.outcome or found.outcome
    attempts = marks.attempts or [Tried(None, outcome, found.code, found.message)]
    return Result(number, found.custom_id, outcome, Raw(response), Raw(error), attempts)


def facts_of(result: Result) -> AnswerFacts | None:
    """The tokens of an answer; None where there is none, or none that is sound."""
    try:
        response = _response(result.response)
    except msgspec.DecodeError:
        return None
    return None if response is None else read_answer(bytes(response.body))


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
        return msgspec.convert(kept, _Marks)


_response = msgspec.json.Decoder(_Response | None).decode
_shape = msgspec.json.Decoder(_Shape).decode
_marks = msgspec.json.Decoder(_Marks).decode
