"""The one place that reads a line and the one that renders a line; bodies pass as they came."""

import json
import re
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

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


def split_object(text: bytes) -> dict[str, bytes]:
    """Cut a valid JSON object into its values, each byte for byte; slow, for what is rare."""
    characters = text.decode()
    values = {}
    position = _skip(characters, characters.index("{") + 1)
    while characters[position] != "}":
        name, position = _scanner.raw_decode(characters, position)
        start = _skip(characters, _skip(characters, position) + 1)
        _, end = _scanner.raw_decode(characters, start)
        values[name] = characters[start:end].encode()
        position = _skip(characters, end)
        if characters[position] == ",":
            position = _skip(characters, position + 1)
    return values


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
            body.decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_odd_answer(body)
    if answer.error is not None or answer.object == "error":
        return _ERROR
    choices = answer.choices
    if choices is not UNSET:
        if not choices:
            return _ERROR
        for choice in choices:
            if choice.finish_reason == "error" or choice.error is not None:
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


class _Choice(Struct, gc=False):
    finish_reason: Any = None
    error: Any = None


class _Answer(Struct, gc=False):
    usage: _Usage | None = None
    error: Any = None
    object: Any = None
    choices: list[_Choice] | UnsetType | None = UNSET


_encode = msgspec.json.Encoder().encode
_line_decoder = msgspec.json.Decoder(RequestLine)
_model_decoder = msgspec.json.Decoder(_ModelLine)
_body_decoder = msgspec.json.Decoder(_Model)
_result_decoder = msgspec.json.Decoder(_ResultLine)
_answer_decoder = msgspec.json.Decoder(_Answer)
# Its scanner finds where a value ends; values themselves are not used, so integers stay text.
_scanner = json.JSONDecoder(parse_int=str, parse_float=str)
_NO_JSON = object()
_LF, _CR = b"\n\r"
# A string, or white space between tokens; what is matched by neither stays as it is.
_STRING_OR_SPACE = re.compile(rb'"(?:[^"\\]|\\.)*"|[ \t\r\n]+', re.DOTALL)


def _skip(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


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
    answer = _parse(body)
    if not isinstance(answer, dict):
        return None
    if answer.get("error") is not None or answer.get("object") == "error":
        return _ERROR
    choices = answer.get("choices", UNSET)
    if choices is not UNSET and not choices:
        return _ERROR
    if isinstance(choices, list) and any(map(_has_failed, choices)):
        return _ERROR
    return _facts(msgspec.convert(_sound(answer.get("usage")), _Usage))


def _has_failed(choice: Any) -> bool:
    return isinstance(choice, dict) and (
        choice.get("finish_reason") == "error" or choice.get("error") is not None
    )


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
        body.decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if _parse(body) is _NO_JSON:
            return _encode(body.decode(errors="replace"))
        compact = _STRING_OR_SPACE.sub(
            lambda found: found[0] if found[0][:1] == b'"' else b"", body
        )
    return compact if broken else body


def _parse(body: bytes) -> Any:
    """The value of a JSON text, or `_NO_JSON`; only what may be a count becomes a number."""
    try:
        return json.loads(
            body.decode(), parse_int=_count, parse_float=str, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        return _NO_JSON


def _count(text: str) -> int | str:
    # The time to convert grows with the square of the length.
    return int(text) if len(text) <= 20 else text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
