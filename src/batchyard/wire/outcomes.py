"""Reads what a result line tells: how its request ended, and what to show of it in a table."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from batchyard.wire.json_texts import BUILT_BYTES_MAX
from batchyard.wire.lines import read_answer, split_object

__all__ = [
    "OUTCOMES",
    "Outcome",
    "Row",
    "error_in",
    "line_index",
    "numbered",
    "read_outcome",
    "read_row",
]

OutcomeStatus = Literal["succeeded", "errored", "expired", "cancelled"]
OUTCOMES: tuple[OutcomeStatus, ...] = ("succeeded", "errored", "expired", "cancelled")
# The codes of lines that were never executed.
_NOT_EXECUTED: dict[str, OutcomeStatus] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
}
# What a line with an answer has before it, as `lines.render_answer` writes it.
_BEFORE_BODY = (
    rb'\{"id":"[^"]*+","custom_id":("(?:[^"\\]|\\.)*+"),"response":\{"status_code":([0-9]+),'
)
# An error that is larger is no message to show.
_SHOWN_BYTES_MAX = 1 << 19
_BEFORE_ID = len(b'{"id":"')
_INDEX_DIGITS = 8
# Of an error that is no JSON object, so much is told.
_EXCERPT_BYTES = 1_000


class Outcome(Struct, frozen=True):
    """How a line of an error file ended.

    `codes` are all the names that its fault has: the code and the type in the answer's error, and
    the HTTP status; or the one code of a request without an answer.
    """

    status: OutcomeStatus
    codes: tuple[str, ...]
    message: str


class Row(Struct, frozen=True, kw_only=True):
    """A result line as a row of a table."""

    line: int
    custom_id: str
    status: OutcomeStatus
    status_code: int | None
    code: str
    message: str
    content: str
    input_tokens: int | None
    output_tokens: int | None


def line_index(line: bytes) -> int:
    """Which request the line answers, counted from 0; blank lines of the input do not count."""
    end = line.index(b'"', _BEFORE_ID)
    return int(line[end - _INDEX_DIGITS : end], 16)


def numbered(line: bytes) -> bytes:
    """The line with the number of its request, counted from 1, as a last key; nothing is parsed."""
    return b'%b,"line":%d}\n' % (line[: line.rindex(b"}")], line_index(line) + 1)


def read_outcome(line: bytes) -> Outcome:
    """Read a line of an error file."""
    found = _read(line)
    if found.response is None:
        code, message = _fault(found.error)
        return Outcome(_NOT_EXECUTED.get(code, "errored"), (code,), message)
    fault = _error_of(bytes(found.response.body))
    names = (fault.get("code"), fault.get("type"), found.response.status_code)
    codes = dict.fromkeys(_text(name) for name in names if name is not None and name != "")
    return Outcome("errored", tuple(codes), _text(fault.get("message") or ""))


def read_row(line: bytes, *, succeeded: bool) -> Row:
    """Read a line of an output (`succeeded`) or error file."""
    found = _read(line)
    outcome = None if succeeded else read_outcome(line)
    body = bytes(found.response.body) if found.response is not None else b"null"
    facts = read_answer(body) if succeeded else None
    return Row(
        line=line_index(line) + 1,
        custom_id=found.custom_id,
        status=outcome.status if outcome else "succeeded",
        status_code=found.response.status_code if found.response is not None else None,
        code=outcome.codes[0] if outcome else "",
        message=outcome.message if outcome else "",
        content="".join(_texts(body)) if succeeded else "",
        input_tokens=facts.input_tokens if facts else None,
        output_tokens=facts.output_tokens if facts else None,
    )


def error_in(body: bytes) -> tuple[str, str]:
    """The code and the message of the error in an answer's body; empty where it has none.

    Some servers put the error's type, or the HTTP status, in the place of a code.
    """
    error = _error_of(body)
    if isinstance(error.get("error"), dict):
        # Some servers wrap an error twice.
        error = error["error"]
    code = next((error[name] for name in ("code", "type") if error.get(name)), "")
    message = error.get("message")
    if message is None:
        message = body[:_EXCERPT_BYTES].decode(errors="replace")
    return (code if isinstance(code, str) else ""), str(message)


class _Response(Struct):
    status_code: int
    body: Raw


class _Line(Struct):
    custom_id: str
    response: _Response | None
    error: Any = None


class _LargeText(Struct):
    text: str | None = None
    content: str | None = None


class _LargeChoice(Struct):
    message: _LargeText | None = None
    text: str | None = None


class _LargeEntry(Struct):
    content: list[_LargeText] | None = None


class _Large(Struct):
    """What of a large answer is looked at; all else is passed over, and not built."""

    error: Raw = Raw(b"{}")
    choices: list[_LargeChoice] | None = None
    output: list[_LargeEntry] | None = None


_line_decoder = msgspec.json.Decoder(_Line)
_large_decoder = msgspec.json.Decoder(_Large)


def _read(line: bytes) -> _Line:
    try:
        return _line_decoder.decode(line)
    except RecursionError:
        return _read_deep(line)
    except msgspec.DecodeError:
        try:
            return _read_odd(line)
        except RecursionError:
            return _read_deep(line)


def _read_odd(line: bytes) -> _Line:
    """Lone surrogates, as in `lines.read_line`: allowed by JSON, refused by the decoder."""
    parts = split_object(line)
    if parts["response"] == b"null":
        return _Line(json.loads(parts["custom_id"]), None, json.loads(parts["error"]))
    response = split_object(parts["response"])
    answer = _Response(int(response["status_code"]), Raw(response["body"]))
    return _Line(json.loads(parts["custom_id"]), answer)


def _read_deep(line: bytes) -> _Line:
    """A line whose answer nests deeper than can be read: what stands before the answer."""
    found = re.match(_BEFORE_BODY, line)
    if found is None:
        return _Line("", _Response(0, Raw(b"null")))
    return _Line(json.loads(found[1]), _Response(int(found[2]), Raw(b"null")))


def _fault(error: Any) -> tuple[str, str]:
    found = error if isinstance(error, dict) else {}
    return str(found.get("code")), str(found.get("message") or "")


def _text(value: Any) -> str:
    """What an upstream put in the place of a text, as a text."""
    try:
        return str(value)
    except RecursionError:
        return "nested too deeply"


def _error_of(body: bytes) -> dict[str, Any]:
    """The error in an answer's body: an object, or its text where upstreams send only that."""
    parsed = _parsed(body)
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    return error if isinstance(error, dict) else {"message": error}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if len(body) <= BUILT_BYTES_MAX else _parsed_large(body)
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None


def _parsed_large(body: bytes) -> Any:
    """Of a large answer what is looked at; of one that is odd besides, nothing."""
    try:
        found = _large_decoder.decode(body)
    except msgspec.DecodeError:
        return json.loads(body) if len(body) <= _SHOWN_BYTES_MAX else None
    error = bytes(found.error)
    return {
        "error": json.loads(error) if len(error) <= _SHOWN_BYTES_MAX else None,
        "choices": msgspec.to_builtins(found.choices),
        "output": msgspec.to_builtins(found.output),
    }


def _texts(body: bytes) -> Iterator[str]:
    """The texts of an answer of chat, completions or responses; nothing of other endpoints."""
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        return
    for choice in _objects(parsed.get("choices")):
        message = choice.get("message")
        text = message.get("content") if isinstance(message, dict) else choice.get("text")
        if isinstance(text, str):
            yield text
            return
    for entry in _objects(parsed.get("output")):
        for part in _objects(entry.get("content")):
            text = part.get("text")
            if isinstance(text, str):
                yield text


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one
