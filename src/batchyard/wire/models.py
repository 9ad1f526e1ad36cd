"""What a server says that it serves, and the name of a model in the body of a request."""

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.wire.objects import Model

__all__ = ["ModelList", "read_model_list", "with_model"]

_ID_CHARACTERS_MAX = 1_000


class ModelList(Struct, frozen=True):
    """The models that a server lists; with `any_model` it takes others, too."""

    models: tuple[Model, ...]
    any_model: bool = False


def read_model_list(body: bytes, owner: str) -> ModelList | None:
    """Read an answer of `GET /models`; None where it is no list of models.

    The list is that of OpenAI's object, or bare as some hosts have it; `null` is an empty one, as
    Ollama says it. `owner` stands in for an owner that is not told.
    """
    try:
        found = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError):
        return None
    listed = found
    if isinstance(found, dict):
        if "data" not in found:
            return None
        listed = found["data"] if found["data"] is not None else []
    if not isinstance(listed, list):
        return None
    models = tuple(_model(one, owner) for one in listed if _has_id(one))
    if listed and not models:
        return None
    return ModelList(models, isinstance(found, dict) and found.get("any_model") is True)


def _has_id(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("id"), str)
        and 0 < len(one["id"]) <= _ID_CHARACTERS_MAX
    )


def _model(one: dict[str, Any], owner: str) -> Model:
    created, told = one.get("created"), one.get("owned_by")
    return Model(
        id=one["id"],
        created=created if type(created) is int else 0,
        owned_by=told if isinstance(told, str) and told else owner,
    )


# The usual beginning of a body, up to the end of the model's name.
_FIRST_MODEL = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"model"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*")')
# A string, or a sign that opens, closes or separates; whatever lies between is passed over.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]', re.DOTALL)


def with_model(body: bytes, model: str) -> bytes:
    """A JSON object with another value for its key `model`, and else the very same bytes.

    Where the key stands there twice, or is written with escapes, each value is replaced; a key
    `model` further inside is none of ours. A body without the key stays as it is.
    """
    name = json.dumps(model).encode()
    first = _FIRST_MODEL.match(body)
    if first is not None and body.count(b'"model"') == 1 and b"\\u" not in body:
        return body[: first.start(1)] + name + body[first.end(1) :]
    parts, kept = [], 0
    for start, end in _values_of_model(body):
        parts += [body[kept:start], name]
        kept = end
    return b"".join([*parts, body[kept:]])


def _values_of_model(body: bytes) -> list[tuple[int, int]]:
    """Where the values of the key `model` stand at the top of a valid JSON object."""
    found = []
    depth, start, key, last = 0, -1, b"", b""
    for token in _TOKEN.finditer(body):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
        elif depth == 1 and sign == b":" and start < 0:
            key, start = last, token.end()
        elif depth == 1 and sign in (b",", b"}") and start >= 0:
            if _is_model(key):
                # White space around the value is none of it.
                raw = body[start : token.start()]
                begin = start + len(raw) - len(raw.lstrip(b" \t\r\n"))
                found.append((begin, begin + len(raw.strip(b" \t\r\n"))))
            start = -1
        if sign in (b"}", b"]"):
            depth -= 1
        last = sign
    return found


def _is_model(key: bytes) -> bool:
    return key == b'"model"' or (b"\\" in key and json.loads(key) == "model")
