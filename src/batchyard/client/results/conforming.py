"""Whether an answer is what its request's JSON Schema says, and what is wrong with it in words."""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.wire.lines import split_object

__all__ = ["Shape", "Wanted", "fault_of", "same", "shape_of"]

_QUOTE_CHARACTERS = 200
_KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Shape(Struct, frozen=True):
    """What a request wants its answer to be: JSON, and perhaps JSON of a schema."""

    schema: Mapping[str, Any] | bool = True


class Wanted(Struct, gc=False):
    """What a request's body says of its answer."""

    response_format: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET

    @property
    def shape(self) -> Shape | None:
        """What the answer has to be; None where the request is content with any text."""
        if self.response_format is UNSET and self.text is UNSET:
            return None
        told = (self.response_format, self.text)
        return _read_shape(*(b"null" if one is UNSET else bytes(one) for one in told))


_wanted = msgspec.json.Decoder(Wanted).decode


def shape_of(body: bytes) -> Shape | None:
    """What a request's body wants; None where it is content with any text."""
    try:
        return _wanted(body).shape
    except msgspec.DecodeError:
        # Lone surrogates, or no object at all.
        return _read_wanted(body).shape


def _read_wanted(body: bytes) -> Wanted:
    try:
        parts = split_object(body)
    except ValueError:
        return Wanted()
    found = {name: Raw(parts[name]) for name in ("response_format", "text") if name in parts}
    return Wanted(**found)


@lru_cache(maxsize=1_024)
def _read_shape(response_format: bytes, text: bytes) -> Shape | None:
    try:
        chat, response = json.loads(response_format), json.loads(text)
    except (ValueError, RecursionError):
        return None
    inner = response.get("format") if isinstance(response, dict) else None
    wanted = chat if isinstance(chat, dict) else inner if isinstance(inner, dict) else {}
    if wanted.get("type") == "json_object":
        return Shape({"type": "object"})
    if wanted.get("type") != "json_schema":
        return None
    named = wanted.get("json_schema")
    schema = (named if isinstance(named, dict) else wanted).get("schema")
    return Shape(schema) if isinstance(schema, dict) else Shape()


def fault_of(shape: Shape, text: str) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        return f"It is not JSON: {error}."
    except RecursionError:
        return "It is not JSON: too deep."
    root = shape.schema if isinstance(shape.schema, Mapping) else {}
    try:
        return next(_faults(shape.schema, value, "$", root), None)
    except (RecursionError, TypeError, AttributeError):
        # A schema that turns in a circle, or is none: it is not the answer that is at fault.
        return None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _faults(schema: Any, value: Any, at: str, root: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a value; keywords that are not known say nothing."""
    if schema is False:
        yield f"{at} must not be there."
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield from _faults(_referred(schema["$ref"], root), value, at, root)
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    if kinds and not any(_is_kind(kind, value) for kind in kinds):
        yield f"{at} must be {' or '.join(kinds)}, not {_quoted(value)}."
        return
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        yield f"{at} must be one of {_quoted(schema['enum'])}, not {_quoted(value)}."
    if "const" in schema and not same(value, schema["const"]):
        yield f"{at} must be {_quoted(schema['const'])}, not {_quoted(value)}."
    yield from _joined(schema, value, at, root)
    if isinstance(value, dict):
        yield from _of_object(schema, value, at, root)
    elif isinstance(value, list):
        yield from _of_array(schema, value, at, root)
    elif isinstance(value, str):
        yield from _of_text(schema, value, at)
    elif _is_number(value):
        yield from _of_number(schema, value, at)


def _joined(
    schema: Mapping[str, Any], value: Any, at: str, root: Mapping[str, Any]
) -> Iterator[str]:
    for one in schema.get("allOf", ()):
        yield from _faults(one, value, at, root)
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name)
        if not choices:
            continue
        found = [next(_faults(one, value, at, root), None) for one in choices]
        fitting = found.count(None)
        if not fitting:
            yield f"{at} fits none of its forms: " + " / ".join(filter(None, found))
        elif name == "oneOf" and fitting > 1:
            yield f"{at} fits {fitting} of its forms and must fit one."


def _of_object(
    schema: Mapping[str, Any], value: dict[str, Any], at: str, root: Mapping[str, Any]
) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at} lacks {name!r}."
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    patterns = schema.get("patternProperties", {})
    for name, one in value.items():
        if name in known:
            yield from _faults(known[name], one, f"{at}.{name}", root)
        elif others is False and not patterns:
            yield f"{at} must not have {name!r}."
        elif isinstance(others, Mapping) and not patterns:
            yield from _faults(others, one, f"{at}.{name}", root)


def _of_array(
    schema: Mapping[str, Any], value: list[Any], at: str, root: Mapping[str, Any]
) -> Iterator[str]:
    yield from _bounded(schema, len(value), at, "Items", "items")
    first = schema.get("prefixItems", ())
    for number, one in enumerate(value):
        inner = first[number] if number < len(first) else schema.get("items", True)
        yield from _faults(inner, one, f"{at}[{number}]", root)


def _of_text(schema: Mapping[str, Any], value: str, at: str) -> Iterator[str]:
    yield from _bounded(schema, len(value), at, "Length", "characters")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        found = _compiled(pattern)
        if found is not None and not found.search(value):
            yield f"{at} must match {pattern}, not {_quoted(value)}."


def _of_number(schema: Mapping[str, Any], value: float, at: str) -> Iterator[str]:
    wrongs: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
        ("minimum", operator.lt, "at least"),
        ("maximum", operator.gt, "at most"),
        ("exclusiveMinimum", operator.le, "more than"),
        ("exclusiveMaximum", operator.ge, "less than"),
    )
    for name, wrong, words in wrongs:
        bound = schema.get(name)
        if _is_number(bound) and wrong(value, bound):
            yield f"{at} must be {words} {bound}, not {value}."


def _bounded(
    schema: Mapping[str, Any], found: int, at: str, suffix: str, words: str
) -> Iterator[str]:
    least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if least is not None and found < least:
        yield f"{at} has {found} {words}, and must have at least {least}."
    if most is not None and found > most:
        yield f"{at} has {found} {words}, and may have at most {most}."


def _referred(name: str, root: Mapping[str, Any]) -> Any:
    """The schema that a reference names; one that cannot be followed says nothing."""
    if not name.startswith("#"):
        return True
    found: Any = root
    for part in name[1:].strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if key:
            found = found.get(key, True) if isinstance(found, Mapping) else True
    return found


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _is_kind(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            return _is_number(value) and float(value).is_integer()
        case "number":
            return _is_number(value)
    return kind not in _KINDS or isinstance(value, _KINDS[kind])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are one; Python takes `true` for 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _QUOTE_CHARACTERS else text[:_QUOTE_CHARACTERS] + "…"
