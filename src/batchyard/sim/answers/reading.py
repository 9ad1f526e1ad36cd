"""What a request asks for, read and checked field by field."""

import json
from collections.abc import Sequence
from io import BytesIO
from random import Random
from typing import Any

import msgspec
from msgspec import Struct
from multipart import MultipartError, MultipartParser, parse_options_header

from batchyard.sim.chance import mix
from batchyard.sim.messages import Request
from batchyard.sim.texts import Texts
from batchyard.wire.errors import ApiError

__all__ = ["CREATED", "Reading", "answer_json", "read_fields"]

# Always the same time: the same request has the same answer, byte for byte.
CREATED = 1_767_225_600
_COUNT_MAX = 128
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Reading(Struct, frozen=True, gc=False):
    """A request body's `fields`, and the `number` that all chance of its answer comes from."""

    fields: dict[str, Any]
    number: int
    texts: Texts
    seed: int

    def integer(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """A field that is a whole number, within bounds; null counts as not given."""
        value = self.fields.get(name)
        if value is None:
            return default
        if type(value) is not int:
            value = _whole(name, value)
        if value < least:
            raise ApiError.below_min(name, value, least)
        if value > most:
            raise ApiError.above_max(name, value, most)
        return value

    def choices(self) -> int:
        """How many answers to one question are asked for: `n`."""
        return (self.integer("n", 1, 1, _COUNT_MAX) or 1) if "n" in self.fields else 1

    def tokens_max(self, *names: str) -> int | None:
        """The first limit of tokens that is given under one of these names."""
        for name in names:
            limit = self.integer(name, None, 1, 1 << 40) if name in self.fields else None
            if limit is not None:
                return limit
        return None

    def text(self, name: str, default: str) -> str:
        """A field that is text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else default

    def chance(self, index: int) -> Random:
        """A source of chance for the answer of this index."""
        return Random(mix(index, self.number))


def read_fields(request: Request, required: Sequence[str]) -> dict[str, Any]:
    """The fields of a JSON or form body, with those that must be there."""
    media_type = request.head.media_type
    if media_type.startswith(b"multipart/form-data"):
        fields = _read_form(request.body, media_type.decode("latin-1"))
    else:
        fields = _read_json(request.body)
    for name in required:
        if fields.get(name) is None:
            raise ApiError.missing(name)
    if not isinstance(fields.get("model", ""), str):
        raise ApiError.invalid_type("model", "a string", _kind(fields["model"]))
    if fields.get("stream"):
        raise ApiError(400, "The simulated upstream does not stream.", param="stream")
    return fields


def answer_json(answer: Any) -> bytes:
    """The answer as compact JSON."""
    try:
        return _encode(answer)
    except UnicodeEncodeError:
        # Something echoed has a lone surrogate, which JSON can only say in escapes.
        return json.dumps(msgspec.to_builtins(answer), separators=(",", ":")).encode()


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        fields = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        fields = _read_odd_json(body)
    if not isinstance(fields, dict):
        raise ApiError.invalid_type("body", "an object", _kind(fields))
    return fields


def _read_odd_json(body: bytes) -> Any:
    """Read JSON that has lone surrogates in escapes, if it is JSON at all."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            400, "We could not parse the JSON body of your request.", code="invalid_json"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _read_form(body: bytes, media_type: str) -> dict[str, Any]:
    boundary = parse_options_header(media_type)[1].get("boundary", "")
    # Nothing is spooled to disk: the whole body is in memory already.
    size = len(body) + 1
    parser = MultipartParser(BytesIO(body), boundary, spool_limit=size, memory_limit=size)
    try:
        return {part.name.removesuffix("[]"): part.filename or part.value for part in parser}
    except (MultipartError, UnicodeDecodeError) as error:
        raise ApiError(400, f"Could not parse multipart form: {error}") from error


def _whole(name: str, value: object) -> int:
    if isinstance(value, str) and value.isdecimal():
        # Fields of a form are text.
        return int(value)
    raise ApiError.invalid_type(name, "an integer", _kind(value))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "another type"


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)
