"""The exact examination of one request line: what it asks for, or the first thing wrong with it."""

import json
import re
from json.decoder import JSONDecodeError
from typing import Any

import msgspec
from msgspec import DecodeError, Raw, Struct

from batchyard.rules.endpoints import (
    EMBEDDINGS,
    ENDPOINTS,
    EVERYWHERE,
    SELF_HOSTED,
    SUPPORTED,
    covers,
)
from batchyard.rules.limits import Limits
from batchyard.wire.lines import body_bytes, read_line, split_object
from batchyard.wire.objects import BatchError

__all__ = ["Sound", "brackets", "count_inputs", "examine", "is_shallow", "url_fault"]

# Code, message and param.
Fault = tuple[str, str, str | None]


class Sound(Struct, frozen=True, gc=False):
    """What a sound line asks for; `inputs` are those that embedding requests are counted by."""

    custom_id: str
    url: str
    model: str
    body_bytes: int
    inputs: int


def examine(
    line: bytes, number: int, limits: Limits, endpoint: str | None = None
) -> Sound | BatchError:
    """Examine the physical line `number`; of several faults the first in a fixed order counts.

    With the `endpoint` of a batch, a line for another one is that first of all: its body is right
    for where it should have gone.
    """
    try:
        pairs = _parse(line, limits)
    except _NotJson as error:
        return _error(number, "invalid_json_line", _unparseable(str(error)), None)
    envelope, doubled = _unique(pairs)
    if doubled is not None:
        return _doubled(number, doubled)
    fault = (
        _envelope_fault(envelope, limits)
        or url_fault(envelope["url"], limits, endpoint)
        or _body_fault(envelope, limits)
    )
    if fault is not None:
        code, message, param = fault
        return _error(number, code, message, param)
    raw = body_bytes(read_line(line))
    body, _ = _unique(envelope["body"])
    url = envelope["url"]
    return Sound(
        custom_id=envelope["custom_id"],
        url=url,
        model=body.get("model", ""),
        body_bytes=len(raw),
        inputs=count_inputs(split_object(raw)["input"]) if url == EMBEDDINGS else 0,
    )


def url_fault(url: str, limits: Limits, endpoint: str | None) -> Fault | None:
    """Why a line of this url does not belong in the batch, though there is such an endpoint."""
    foreign = limits.urls is None and not limits.self_hosted and url in SELF_HOSTED
    if foreign or (limits.urls is not None and url not in limits.urls):
        supported = ", ".join(limits.urls or SUPPORTED)
        message = f"The URL '{url}' is not supported. Supported values are: {supported}."
        return ("invalid_url", message, "url")
    if endpoint is not None and not covers(endpoint, url):
        message = (
            f"The URL '{url}' of this request does not match the endpoint '{endpoint}' of the "
            "batch."
        )
        return ("invalid_url", message, "url")
    return None


def count_inputs(texts: Raw | bytes) -> int:
    """How many texts an embedding request has; an array of numbers is one tokenized text."""
    raw = bytes(texts).strip()
    if not (raw.startswith(b"[") and raw[1:].lstrip().startswith((b'"', b"["))):
        return 1
    try:
        return len(_list_decoder.decode(raw))
    except DecodeError:
        # The typed decoder refuses lone surrogates.
        return len(json.loads(raw, parse_int=str, parse_float=str))


def is_shallow(line: bytes, limits: Limits) -> bool:
    """Whether a JSON text nests as deep as is allowed; most have too few brackets to do otherwise.

    Asked before it is read: readers end in an error of their own somewhere beyond.
    """
    most = limits.nesting_max
    return brackets(line) <= most or _depth(line) <= most


def brackets(text: bytes) -> int:
    """How many brackets open in a text, those within strings included."""
    # This counts faster than `count` does.
    return 2 * len(text) - len(text.replace(b"{", b"")) - len(text.replace(b"[", b""))


def _depth(text: bytes) -> int:
    """How deep objects and arrays nest in a JSON text, up to 1,000; other text counts somehow."""
    level = deepest = 0
    for bracket in re.sub(_STRING, b"", text).translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            level += 1
            if level > deepest:
                deepest = level
                if deepest == 1_000:
                    break
        else:
            level -= 1
    return deepest


_list_decoder = msgspec.json.Decoder(list[Raw])
# Possessive, so that a string without an end costs no backtracking; compiled for a deep line.
_STRING = rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _envelope_fault(envelope: dict[str, Any], limits: Limits) -> Fault | None:
    for name in ("custom_id", "method", "url", "body"):
        if name not in envelope:
            return _missing(name, name)
    custom_id = envelope["custom_id"]
    if not isinstance(custom_id, str):
        return ("invalid_custom_id", "The custom_id must be a string.", "custom_id")
    if not 0 < _size_bytes(custom_id) <= limits.custom_id_bytes_max or _CONTROL.search(custom_id):
        message = (
            f"The custom_id must have 1 to {limits.custom_id_bytes_max} bytes in UTF-8 and no "
            "control characters."
        )
        return ("invalid_custom_id", message, "custom_id")
    if envelope["method"] != "POST":
        return ("invalid_method", "The method must be 'POST'.", "method")
    url = envelope["url"]
    if not isinstance(url, str) or url not in ENDPOINTS:
        supported = ", ".join(EVERYWHERE if limits.self_hosted else SUPPORTED)
        message = f"The URL {_shown(url)} is not supported. Supported values are: {supported}."
        return ("invalid_url", message, "url")
    return None


def _body_fault(envelope: dict[str, Any], limits: Limits) -> Fault | None:
    if not isinstance(envelope["body"], _Pairs):
        return ("invalid_request", "The body must be a JSON object.", "body")
    body, doubled = _unique(envelope["body"])
    if doubled == "model":
        message = _unparseable("the key 'model' stands twice in the body")
        return ("invalid_json_line", message, None)
    endpoint = ENDPOINTS[envelope["url"]]
    for name in endpoint.required:
        if name not in body:
            return _missing(name, f"body.{name}")
    model = body.get("model", "none")
    if not isinstance(model, str) or not 0 < _size_bytes(model) <= limits.model_bytes_max:
        message = f"The model must be a string of 1 to {limits.model_bytes_max} bytes in UTF-8."
        return ("invalid_request", message, "body.model")
    # Servers read many a value as true, "1" for one.
    if body.get("stream") not in (None, False):
        message = f"{endpoint.name}: Streaming is not supported in the Batch API."
        return ("streaming_unsupported", message, "body.stream")
    return None


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, keys that stand twice included."""


class _NotJson(ValueError):
    """Why a line is not one JSON object."""


def _parse(line: bytes, limits: Limits) -> _Pairs:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise _NotJson(_encoding_hint(line)) from None
    if not is_shallow(line, limits):
        raise _NotJson(f"it is nested more than {limits.nesting_max} levels deep")
    try:
        # Numbers are not converted: that would refuse long ones, and take time.
        value = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
        )
    except JSONDecodeError as error:
        raise _NotJson(_hint(text) or f"{error.msg} at column {error.colno}") from None
    if not isinstance(value, _Pairs):
        raise _NotJson(_hint(text) or "it is not a JSON object")
    return value


class _Number:
    """A number; what it is does not matter, but that it is no string."""

    __slots__ = ()

    def __init__(self, _text: str) -> None:
        pass


def _refuse_constant(name: str) -> None:
    raise _NotJson(f"{name} is no JSON number")


def _unique(pairs: _Pairs) -> tuple[dict[str, Any], str | None]:
    """The object, and the first key that stands twice in it."""
    found: dict[str, Any] = {}
    doubled = None
    for name, value in pairs:
        if name in found and doubled != "model":
            doubled = name
        found[name] = value
    return found, doubled


def _size_bytes(text: str) -> int:
    """The size in UTF-8; 0 where lone surrogates make it impossible."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def _missing(name: str, param: str) -> Fault:
    return ("missing_required_parameter", f"Missing required parameter: '{name}'.", param)


def _doubled(number: int, name: str) -> BatchError:
    message = _unparseable(f"the key {_shown(name)} stands twice in the request")
    return _error(number, "invalid_json_line", message, None)


def _unparseable(why: str) -> str:
    return f"This line is not parseable as valid JSON: {why}."


def _error(number: int, code: str, message: str, param: str | None) -> BatchError:
    return BatchError(code=code, message=message, param=param, line=number)


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return "of this request"
    return f"'{value[:100]}'".encode(errors="replace").decode()


_ARCHIVE = "it is an archive; upload the JSONL file itself"


def _encoding_hint(line: bytes) -> str:
    if line.startswith(b"\x1f\x8b"):
        return "it is gzip data; upload the file uncompressed"
    if line.startswith((b"PK\x03\x04", b"\x28\xb5\x2f\xfd")):
        return _ARCHIVE
    if b"\x00" in line[:8] or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is not UTF-8 but looks like UTF-16; save the file as UTF-8"
    return "it is not UTF-8; save the file as UTF-8"


def _hint(text: str) -> str | None:
    head = text.lstrip()
    if head.startswith("["):
        return "it begins an array; write one JSON object per line, without brackets around them"
    if head.startswith("\ufeff"):
        return "it has a byte order mark, which may only stand at the start of the file"
    if head.startswith("PK\x03\x04"):
        return _ARCHIVE
    if "\x00" in text[:8]:
        return "it is not UTF-8 but looks like UTF-16; save the file as UTF-8"
    if head.strip() == "{":
        return "it is part of a pretty-printed object; each object must stand on one line"
    if head.startswith("%PDF"):
        return "it is a PDF; a batch file has one JSON object per line"
    if not head.startswith("{"):
        return "it does not begin with '{'; each line must be one JSON object"
    return None
