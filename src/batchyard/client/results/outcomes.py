"""How each line of a campaign ended, whatever server wrote the line, and whether to ask again."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.results.plain import plain_of
from batchyard.wire.lines import split_object

__all__ = [
    "OUTCOMES",
    "Again",
    "Check",
    "Found",
    "Judge",
    "LineOutcome",
    "is_result",
    "parts_of",
    "raw_parts_of",
    "read_found",
    "texts_of",
]

LineOutcome = Literal["succeeded", "errored", "expired", "cancelled", "invalid_output", "missing"]
OUTCOMES: tuple[LineOutcome, ...] = (
    "succeeded",
    "errored",
    "expired",
    "cancelled",
    "invalid_output",
    "missing",
)
# Asked again as it was; with room for a longer answer; with what is wrong shown; not again.
Again = Literal["same", "longer", "corrected", "no"]
# Hears custom_id and text of an answer; ValueError says what is wrong with it.
Check = Callable[[str, str], object]
# Code and message of what is wrong with the text that answers a custom_id; None where nothing is.
Judge = Callable[[str, str], tuple[str, str] | None]

_NOT_EXECUTED: dict[str, LineOutcome] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
    "batch_canceled": "cancelled",
}
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
_TRANSIENT_CODES = frozenset(
    {
        "rate_limit_exceeded",
        "server_error",
        "internal_server_error",
        "internal_error",
        "service_unavailable",
        "overloaded",
        "engine_overloaded",
        "request_timeout",
        "timeout",
        "upstream_unreachable",
        "invalid_upstream_response",
        "worker_lost",
    }
)
# Named with a status that would pass, and yet the same again would bring the same.
_LASTING_CODES = frozenset(
    {"insufficient_quota", "content_filter", "content_policy_violation", "billing_hard_limit"}
)


class Found(Struct, frozen=True, gc=False):
    """What a result line says."""

    custom_id: str
    outcome: LineOutcome
    again: Again
    code: str = ""
    message: str = ""


class _Line(Struct, gc=False):
    custom_id: str
    response: Raw = Raw(b"null")
    error: Raw = Raw(b"null")


class _Shape(Struct, gc=False):
    custom_id: str
    response: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Response(Struct, gc=False):
    status_code: int = 0
    body: Raw = Raw(b"null")


_line_decoder = msgspec.json.Decoder(_Line)
_shape_decoder = msgspec.json.Decoder(_Shape)
_response_decoder = msgspec.json.Decoder(_Response | None)


def read_found(line: bytes, judge: Judge, *, accept_cut_off: bool) -> Found | None:
    """Read a line of an output or error file; None where it is none, or names no request.

    One that has neither an answer nor an error tells nothing: its request is still `missing`.
    """
    plain = plain_of(line)
    if plain is not None:
        return _judged(*plain, judge)
    try:
        custom_id, response, error = parts_of(line)
        answer = _response_of(response)
    except (ValueError, KeyError, RecursionError, TypeError, msgspec.MsgspecError):
        return None
    fault = None if error == b"null" else _loads(error)
    if answer is None and fault is None:
        message = "The line of the result tells nothing."
        found = Found(custom_id, "missing", "same", "missing", message)
        return found if is_result(line) else None
    if answer is None or answer.status_code == 0:
        code, message = _fault_of(fault)
        outcome = _NOT_EXECUTED.get(code, "errored")
        return Found(custom_id, outcome, _again(0, code, outcome), code, message)
    body = _loads(bytes(answer.body))
    if not 200 <= answer.status_code < 300:
        inner = body.get("error", body) if isinstance(body, dict) else body
        code, message = _fault_of(inner or fault)
        again = _again(answer.status_code, code, "errored")
        return Found(custom_id, "errored", again, code or str(answer.status_code), message)
    if not isinstance(body, dict):
        message = "The answer is not a JSON object."
        return Found(custom_id, "invalid_output", "same", "invalid_json", message)
    return _weighed(custom_id, body, judge, accept_cut_off=accept_cut_off)


def parts_of(line: bytes) -> tuple[str, bytes, bytes]:
    """The custom_id, and response and error as they stand."""
    custom_id, response, error = raw_parts_of(line)
    return custom_id, bytes(response), bytes(error)


def raw_parts_of(line: bytes) -> tuple[str, Raw, Raw]:
    """The same, response and error not copied."""
    try:
        found = _line_decoder.decode(line)
        return found.custom_id, found.response, found.error
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        parts = split_object(line)
        response, error = (Raw(parts.get(name, b"null")) for name in ("response", "error"))
        return str(json.loads(parts["custom_id"])), response, error


def is_result(line: bytes) -> bool:
    """Whether a line is one of results, rather than of requests."""
    try:
        shape = _shape_decoder.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return b'"response"' in line and b'"error"' in line
    return shape.response is not UNSET or shape.error is not UNSET


def texts_of(body: Any) -> Iterator[str]:
    """The texts of an answer: one for each choice, in the order of the choices."""
    if not isinstance(body, dict):
        return
    for choice in _list_of(body, "choices"):
        message = choice.get("message", choice) if isinstance(choice, dict) else None
        if isinstance(message, dict):
            text = _text_of(message.get("content", message.get("text")))
            if text is not None:
                yield text
    messages = [one for one in _list_of(body, "output") if isinstance(one, dict)]
    told = [_text_of(one.get("content")) for one in messages if one.get("type") == "message"]
    if any(text is not None for text in told):
        yield "".join(text for text in told if text is not None)


def _text_of(content: Any) -> str | None:
    """A text, or the texts of a list of parts; None where there is none."""
    if isinstance(content, list):
        parts = [one.get("text") for one in content if isinstance(one, dict)]
        texts = [text for text in parts if isinstance(text, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _response_of(text: bytes) -> _Response | None:
    try:
        found: _Response | None = _response_decoder.decode(text)
        return found
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        parts = split_object(text)
        return _Response(int(parts["status_code"]), Raw(parts.get("body", b"null")))


def _weighed(custom_id: str, body: dict[str, Any], judge: Judge, *, accept_cut_off: bool) -> Found:
    """What an answer of 200 is worth: it may be cut off, withheld, refused, or not as asked."""
    choices = [one for one in _list_of(body, "choices") if isinstance(one, dict)]
    reasons = [one.get("finish_reason") for one in choices]
    details = body.get("incomplete_details")
    if isinstance(details, dict):
        reasons.append(details.get("reason"))
    if "content_filter" in reasons:
        message = "The answer was withheld for what it says."
        return Found(custom_id, "errored", "no", "content_filter", message)
    if not accept_cut_off and ("length" in reasons or "max_output_tokens" in reasons):
        message = "The answer was cut off by the most tokens it may have."
        return Found(custom_id, "invalid_output", "longer", "length", message)
    messages = _messages_of(body)
    refusal = next((told for one in messages if (told := _refusal_of(one))), None)
    if refusal is not None:
        return Found(custom_id, "errored", "no", "refusal", refusal)
    texts = list(texts_of(body))
    if messages and not texts and not _calls_tools(messages):
        texts = [""]
    return _judged(custom_id, texts, judge)


def _judged(custom_id: str, texts: Sequence[str], judge: Judge) -> Found:
    for text in texts:
        fault = judge(custom_id, text)
        if fault is not None:
            return Found(custom_id, "invalid_output", "corrected", *fault)
    return Found(custom_id, "succeeded", "no")


def _messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What the model has said, in chat completions and in responses."""
    choices = [one for one in _list_of(body, "choices") if isinstance(one, dict)]
    found = [one.get("message") for one in choices] + _list_of(body, "output")
    return [one for one in found if isinstance(one, dict)]


def _refusal_of(message: dict[str, Any]) -> str | None:
    parts = [one for one in _list_of(message, "content") if isinstance(one, dict)]
    told = [message.get("refusal"), *(one.get("refusal") for one in parts)]
    return next((one for one in told if isinstance(one, str) and one), None)


def _calls_tools(messages: list[dict[str, Any]]) -> bool:
    return any(
        one.get("tool_calls") or one.get("function_call") or "call" in str(one.get("type"))
        for one in messages
    )


def _again(status: int, code: str, outcome: LineOutcome) -> Again:
    if outcome == "cancelled" or code in _LASTING_CODES:
        return "no"
    transient = (
        outcome == "expired"
        or status >= 500
        or status in _TRANSIENT_STATUSES
        or code in _TRANSIENT_CODES
        or (code.isdigit() and (int(code) >= 500 or int(code) in _TRANSIENT_STATUSES))
    )
    return "same" if transient else "no"


def _fault_of(found: Any) -> tuple[str, str]:
    """Code and message of an error that is an object, a text, or a list of either."""
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        code = found.get("code") or found.get("type") or ""
        return str(code), str(found.get("message") or "")
    return "", "" if found is None else str(found)


def _list_of(body: dict[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    return found if isinstance(found, list) else []


def _loads(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Slower, and forgives more.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None
