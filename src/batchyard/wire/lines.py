"""The one place that reads a line and the one that renders a line; bodies pass as they came."""

import json
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from batchyard.wire.json_texts import (
    BUILT_BYTES_MAX,
    check_utf8,
    is_json,
    split_object,
    texts_of,
    without_line_breaks,
    without_surrogates,
)

__all__ = [
    "BOM",
    "AnswerFacts",
    "RequestLine",
    "Result",
    "body_bytes",
    "line_id",
    "model_of",
    "read_answer",
    "read_line",
    "read_lines",
    "read_model",
    "read_result",
    "render_answer",
    "render_failure",
    "split_object",
]

# The byte order mark that some programs write before the first line of a file.
BOM = b"\xef\xbb\xbf"


class RequestLine(Struct):
    """A request line that validation has passed; `body` keeps the bytes of the input."""

    custom_id: str
    url: str
    body: Raw


def read_line(line: bytes) -> RequestLine:
    """Read a line that validation has passed."""
    try:
        return _line_decoder.decode(line)
    except msgspec.DecodeError:
        # The decoder refuses lone surrogates (`\\ud800`), which JSON allows and models emit.
        parts = split_object(line)
        return RequestLine(
            json.loads(parts["custom_id"]), json.loads(parts["url"]), Raw(parts["body"])
        )


def read_lines(text: bytes) -> list[RequestLine]:
    """Read lines that validation has passed, in half the time; blank ones are left out.

    Raises msgspec.DecodeError where any of them needs `read_line`.
    """
    return _line_decoder.decode_lines(text)


def read_model(line: bytes) -> str:
    """The model that a line names; empty where it names none."""
    try:
        return _model_decoder.decode(line).body.model
    except msgspec.DecodeError:
        return model_of(split_object(line)["body"])


def model_of(body: bytes) -> str:
    """The model that the body of a line names; empty where it names none."""
    try:
        return _body_decoder.decode(body).model
    except msgspec.DecodeError:
        return str(json.loads(split_object(body).get("model", b'""')))


def body_bytes(line: RequestLine) -> bytes:
    """The body as it goes upstream: the very bytes of the input line."""
    return bytes(line.body)


def line_id(prefix: str, index: int) -> str:
    """The id of a result line; it ends with the index of the input line it answers."""
    return prefix + index.to_bytes(4).hex()


def render_answer(
    id: str, custom_id: str, status: int, request_id: str, body: bytes
) -> tuple[bytes, ...]:
    """Render the line of an HTTP answer, with its body byte for byte.

    It comes in parts, for the lines of a whole piece are joined at once. Line breaks between the
    tokens of a JSON body are taken out, and a body that is no JSON (the HTML page of a proxy)
    becomes a JSON string.
    """
    # A number is looked for eight times as fast as a text of one character.
    if status >= 300 or _LF in body or _CR in body:
        body = _as_one_line(body)
    return (
        b'{"id":"',
        id.encode(),
        b'","custom_id":',
        _encode(custom_id),
        _response_with(status),
        _encode(request_id),
        b',"body":',
        body,
        b'},"error":null}\n',
    )


@cache
def _response_with(status: int) -> bytes:
    return b',"response":{"status_code":%d,"request_id":' % status


def render_failure(id: str, custom_id: str | None, code: str, message: str) -> bytes:
    """Render the line of a request that has no answer.

    Without `custom_id`, because the request cannot be read any more, the id tells which it is.
    """
    return b'{"id":"%b","custom_id":%b,"response":null,"error":{"code":%b,"message":%b}}\n' % (
        id.encode(),
        _encode(custom_id),
        _encode(code),
        _encode(message),
    )


class AnswerFacts(Struct, frozen=True, gc=False):
    """What a 2xx answer says beside its text: tokens, and whether it is an error after all."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    is_error: bool = False


def read_answer(body: bytes) -> AnswerFacts | None:
    """Read an answer's body; None when it is not exactly one whole JSON object in UTF-8."""
    try:
        answer = _answer_decoder.decode(body)
        if not body.isascii():
            check_utf8(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_odd_answer(body)
    # Identity first: it is the default of every answer without an error.
    if (answer.error is not _NULL and answer.error != _NULL) or answer.object == "error":
        return _ERROR
    if answer.choices is not UNSET and _have_failed(answer.choices):
        return _ERROR
    return _facts(answer.usage) if answer.usage is not None else _NOTHING


_ERROR = AnswerFacts(is_error=True)
_NOTHING = AnswerFacts()


class Result(Struct, frozen=True):
    """A line of an output or error file, read back."""

    id: str
    custom_id: str
    facts: AnswerFacts | None


def read_result(line: bytes) -> Result:
    """Read a rendered line back; `facts` is None where it has no answer that is JSON."""
    try:
        found = _result_decoder.decode(line)
    except msgspec.DecodeError:
        # An answer with lone surrogates, as in `read_line`.
        parts = split_object(line)
        body = split_object(parts["response"])["body"]
        return Result(json.loads(parts["id"]), json.loads(parts["custom_id"]), read_answer(body))
    if found.response is None:
        return Result(found.id, found.custom_id, None)
    return Result(found.id, found.custom_id, read_answer(bytes(found.response.body)))


class _Response(Struct):
    body: Raw


class _ResultLine(Struct):
    id: str
    custom_id: str
    response: _Response | None


class _Model(Struct):
    model: str = ""


class _ModelLine(Struct):
    body: _Model


# Sums over a batch must fit in 63 bits, whatever an upstream counts; other numbers are no count.
_TOKENS_MAX = 1 << 40
_Tokens = Annotated[int, Meta(ge=0, le=_TOKENS_MAX)]


class _Details(Struct, gc=False):
    cached_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    total_tokens: _Tokens | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


_NULL = Raw(b"null")
_ERROR_OBJECT = Raw(b'"error"')


class _Choice(Struct, gc=False):
    finish_reason: Any = None
    error: Raw = _NULL


class _Answer(Struct, gc=False):
    usage: _Usage | None = None
    # Not built into an object: an error may be as large as an answer.
    error: Raw = _NULL
    object: Any = None
    choices: list[_Choice] | UnsetType | None = UNSET


class _OddAnswer(Struct, gc=False):
    usage: Raw = _NULL
    error: Raw = _NULL
    object: Raw = _NULL
    choices: Raw | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_line_decoder = msgspec.json.Decoder(RequestLine)
_model_decoder = msgspec.json.Decoder(_ModelLine)
_body_decoder = msgspec.json.Decoder(_Model)
_result_decoder = msgspec.json.Decoder(_ResultLine)
_answer_decoder = msgspec.json.Decoder(_Answer)
_choices_decoder = msgspec.json.Decoder(list[_Choice] | None)
_odd_answer_decoder = msgspec.json.Decoder(_OddAnswer)
_LF, _CR = b"\n\r"


def _facts(usage: _Usage) -> AnswerFacts:
    read = usage.prompt_tokens or usage.input_tokens or 0
    written = usage.completion_tokens or usage.output_tokens or 0
    cached = usage.prompt_tokens_details or usage.input_tokens_details
    reasoned = usage.completion_tokens_details or usage.output_tokens_details
    return AnswerFacts(
        read,
        cached.cached_tokens or 0 if cached else 0,
        written,
        reasoned.reasoning_tokens or 0 if reasoned else 0,
        usage.total_tokens or read + written,
    )


def _read_odd_answer(body: bytes) -> AnswerFacts | None:
    """An object with odd usage or lone surrogates is an answer all the same."""
    whole = without_surrogates(body)
    try:
        answer = _odd_answer_decoder.decode(whole)
        check_utf8(whole)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if answer.error != _NULL or answer.object == _ERROR_OBJECT:
        return _ERROR
    if answer.choices is not UNSET:
        try:
            if _have_failed(_choices_decoder.decode(answer.choices)):
                return _ERROR
        except msgspec.DecodeError:
            # No list of objects: an answer all the same, of an endpoint of its own.
            pass
    return _facts(msgspec.convert(_sound(_parse(bytes(answer.usage))), _Usage))


def _have_failed(choices: list[_Choice] | None) -> bool:
    """Whether an answer has no choice, or one that is an error."""
    if not choices:
        return True
    for choice in choices:  # noqa: SIM110 (it runs for every answer)
        if choice.finish_reason == "error" or choice.error != _NULL:
            return True
    return False


def _sound(usage: Any) -> dict[str, Any]:
    """Of an odd usage what can be used: its counts, and those of its details."""
    details = {
        name: _counts(usage[name], _Details.__struct_fields__)
        for name in _Usage.__struct_fields__
        if name.endswith("_details") and isinstance(usage, dict) and name in usage
    }
    return _counts(usage, _Usage.__struct_fields__) | details


def _counts(found: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, dict):
        return {}
    return {
        name: found[name]
        for name in names
        if type(found.get(name)) is int and 0 <= found[name] <= _TOKENS_MAX
    }


def _as_one_line(body: bytes) -> bytes:
    broken = _LF in body or _CR in body
    try:
        compact = msgspec.json.format(body, indent=-1)
        check_utf8(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if not is_json(without_surrogates(body)):
            texts = [_encode(text)[1:-1] for text in texts_of(body, "replace")]
            return b'"%b"' % b"".join(texts)
        compact = b"".join(without_line_breaks(body)) if broken else body
    return compact if broken else body


def _parse(text: bytes) -> Any:
    """The value of a JSON text that is not large; only what may be a count becomes a number."""
    if len(text) > BUILT_BYTES_MAX:
        return None
    try:
        return json.loads(
            text.decode(), parse_int=_count, parse_float=str, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        return None


def _count(text: str) -> int | str:
    # The time to convert grows with the square of the length.
    return int(text) if len(text) <= 20 else text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
