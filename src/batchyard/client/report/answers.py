"""What an answer says: its text, the fields that may be labels, its numbers, its times."""

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.results.outcomes import texts_of
from batchyard.wire.lines import split_object

__all__ = [
    "WHOLE",
    "Answer",
    "Named",
    "closed_fields",
    "closed_in",
    "fields_in",
    "fields_of",
    "read_body",
    "text_of",
]

# The name of the field that is the whole text of an answer.
WHOLE = ""
Named = tuple[str, str | float | bool]
_LABEL_CHARACTERS = 80
_NAME_CHARACTERS = 120
_FIELDS_MAX = 40
_LISTED_MAX = 20
_SECONDS_MAX = 1e7


class Answer(Struct, gc=False):
    """The parts of an answer's body that a report reads; any of them may be of any kind."""

    model: Any = None
    created: Any = None
    created_at: Any = None
    completed_at: Any = None
    usage: Any = None
    timings: Any = None
    choices: Any = None
    output: Any = None
    results: Any = None

    @property
    def model_name(self) -> str:
        """The model that answered, by its own word."""
        return self.model if isinstance(self.model, str) else ""

    @property
    def second(self) -> int | None:
        """When the answer was made, in Unix time, as far as it says."""
        for given in (self.completed_at, self.created, self.created_at):
            if isinstance(given, int | float) and 0 < given < 1e11:
                return int(given)
        return None

    @property
    def seconds(self) -> float | None:
        """How long the model took, where the answer says so.

        Groq tells it in its usage, llama.cpp in its timings, and Responses when they were begun
        and completed.
        """
        took: Any = self.usage.get("total_time") if isinstance(self.usage, dict) else None
        if _is_number(took):
            return float(took) if 0 <= took < _SECONDS_MAX else None
        if isinstance(self.timings, dict):
            spent = [self.timings.get(name) for name in ("prompt_ms", "predicted_ms")]
            if all(map(_is_number, spent)):
                return sum(float(one) for one in spent if one is not None) / 1e3
        if _is_number(self.created_at) and _is_number(self.completed_at):
            return max(0.0, float(self.completed_at - self.created_at))
        return None


_decode = msgspec.json.Decoder(Answer).decode


def read_body(body: bytes) -> Answer | None:
    """Read the body of an answer; None where it is no JSON object."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_odd(body)


def text_of(answer: Answer) -> str | None:
    """What the model said, else its refusal or the arguments of the call it made; else None."""
    said = texts_of({"choices": answer.choices, "output": answer.output})
    first = next(iter(said), None)
    if first is None and isinstance(answer.choices, list) and answer.choices:
        return _called(answer.choices[0])
    if first is None and isinstance(answer.output, list):
        given = [one.get("arguments") for one in answer.output if isinstance(one, dict)]
        return next((one for one in given if isinstance(one, str)), None)
    return first


def fields_of(answer: Answer, text: str | None) -> list[Named]:
    """The named values of an answer that may be labels or measures, dotted where they are inside.

    A text that is no JSON object has one field, `WHOLE`. The verdict of a moderation is one too.
    """
    if text is None:
        verdicts = answer.results
        if not (isinstance(verdicts, list) and verdicts and isinstance(verdicts[0], dict)):
            return []
        told = {one: verdicts[0].get(one) for one in ("flagged", "categories")}
        return fields_in(told, WHOLE)
    stripped = text.strip()
    if stripped[:1] != "{":
        return fields_in(stripped, WHOLE)
    try:
        return fields_in(msgspec.json.decode(stripped), WHOLE)
    except (msgspec.DecodeError, RecursionError):
        return []


def fields_in(value: Any, name: str) -> list[Named]:
    """The same of a value; `name` is that of one that has no names in it."""
    found: list[Named] = []
    if isinstance(value, dict):
        _walk(value, "", found)
    elif not (isinstance(value, str) and ("\n" in value or not value)):
        _walk({name: value}, "", found)
    return found[:_FIELDS_MAX]


def closed_fields(body: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The fields for which a request's own JSON Schema lists all values."""
    said = body.get("response_format"), body.get("text")
    found: dict[str, tuple[str, ...]] = {}
    for one in said:
        if not isinstance(one, dict):
            continue
        one = one.get("json_schema", one.get("format", one))
        schema = one.get("schema", one) if isinstance(one, dict) else None
        if isinstance(schema, dict):
            found |= closed_in(schema)
    return found


def closed_in(schema: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The fields for which a JSON Schema lists all values."""
    found: dict[str, tuple[str, ...]] = {}
    _gather_closed(schema, schema, "", found)
    return found


def _read_odd(body: bytes) -> Answer | None:
    """The same for JSON that the decoder refuses: lone surrogates, bytes that are no UTF-8."""
    try:
        parts = split_object(body.decode(errors="replace").encode())
        known = [name for name in Answer.__struct_fields__ if name in parts]
        return Answer(**{name: json.loads(parts[name]) for name in known})
    except (ValueError, RecursionError, IndexError):
        return None


def _called(choice: Any) -> str | None:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return None
    if isinstance(refusal := message.get("refusal"), str):
        return refusal
    calls = message.get("tool_calls")
    first = calls[0] if isinstance(calls, list) and calls else None
    called = first.get("function") if isinstance(first, dict) else None
    given = called.get("arguments") if isinstance(called, dict) else None
    return given if isinstance(given, str) else None


def _walk(inside: dict[str, Any], before: str, found: list[Named]) -> None:
    for name, value in inside.items():
        name = before + name
        if len(name) > _NAME_CHARACTERS:
            continue
        kind = type(value)
        if kind is str:
            if len(value) <= _LABEL_CHARACTERS:
                found.append((name, value.strip()))
        elif kind is bool or _is_number(value):
            found.append((name, value))
        elif kind is dict and name.count(".") < 2:
            _walk(value, f"{name}.", found)
        elif kind is list and len(value) <= _LISTED_MAX:
            short = (one for one in value if isinstance(one, str))
            found += [(f"{name}[]", one.strip()) for one in short if len(one) <= _LABEL_CHARACTERS]


def _gather_closed(
    node: Mapping[str, Any], root: Mapping[str, Any], name: str, found: dict[str, tuple[str, ...]]
) -> None:
    """Collect the enums of a schema's properties, through references and lists."""
    if name.count(".") > 2:
        return
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        inner = root.get("$defs", {})
        inner = inner.get(reference.removeprefix("#/$defs/")) if isinstance(inner, dict) else None
        node = inner if isinstance(inner, dict) else {}
    listed = node.get("enum")
    if isinstance(listed, list) and name:
        found[name] = tuple(one for one in listed if isinstance(one, str))
    inside = node.get("properties")
    if isinstance(inside, dict):
        for key, one in inside.items():
            if isinstance(one, dict):
                _gather_closed(one, root, f"{name}.{key}" if name else key, found)
    if isinstance(each := node.get("items"), dict) and name:
        _gather_closed(each, root, f"{name}[]", found)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e18
        and math.isfinite(value)
    )
