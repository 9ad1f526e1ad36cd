"""JSON Schemas of types, in the strict form that structured outputs demand."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.building.strict import SchemaError, strictly

__all__ = ["Format", "SchemaError", "format_of", "read_as"]


class Format(Struct, frozen=True):
    """The shape of an answer, as both APIs name it."""

    name: str
    schema: dict[str, Any]
    strict: bool
    description: str | None = None

    def for_chat(self) -> dict[str, Any]:
        """What `response_format` of a chat completion is."""
        return {"type": "json_schema", "json_schema": self._facts()}

    def for_responses(self) -> dict[str, Any]:
        """What `text.format` of a response is."""
        return {"type": "json_schema", **self._facts()}

    def _facts(self) -> dict[str, Any]:
        told = {"description": self.description} if self.description else {}
        return {"name": self.name, **told, "schema": self.schema, "strict": self.strict}


def format_of(shape: Any, *, name: str | None = None, strict: bool = True) -> Format:
    """The format of a Pydantic model, dataclass, TypedDict, msgspec Struct or JSON Schema.

    With `strict`, the schema becomes one that constrains the model's decoding; what cannot be
    said that way raises SchemaError, and `strict=False` sends it as it is.
    """
    if not isinstance(shape, type) and isinstance(shape, Mapping):
        return _of_schema(json.dumps(shape), name, strict)
    return _of_type(shape, name, strict)


def read_as(shape: Any, text: str | bytes) -> Any:
    """The answer as a value of its shape; raises ValueError where it is none.

    Where the strict form made optional fields nullable, null stands for a field left out.
    """
    if isinstance(shape, Mapping):
        return json.loads(text)
    try:
        return _validated(shape, text)
    except ValueError:
        pruned = json.dumps(_without_nulls(json.loads(text)))
        try:
            return _validated(shape, pruned)
        except ValueError:
            # Tell of the answer as it came.
            return _validated(shape, text)


def _validated(shape: Any, text: str | bytes) -> Any:
    if hasattr(shape, "model_validate_json"):
        return shape.model_validate_json(text)
    return msgspec.json.decode(text, type=shape, strict=True)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


@lru_cache(maxsize=256)
def _of_schema(text: str, name: str | None, strict: bool) -> Format:
    schema = json.loads(text)
    chosen = name or _named(str(schema.get("title") or "answer"))
    return Format(chosen, strictly(schema) if strict else schema, strict)


@lru_cache(maxsize=256)
def _of_type(shape: Any, name: str | None, strict: bool) -> Format:
    schema = _raw(shape)
    chosen = name or _named(getattr(shape, "__name__", None) or str(schema.get("title", "answer")))
    return Format(chosen, strictly(schema) if strict else schema, strict)


def _raw(shape: Any) -> dict[str, Any]:
    """The schema as the type's own library says it."""
    if hasattr(shape, "model_json_schema"):
        told: dict[str, Any] = shape.model_json_schema()
        return told
    if hasattr(shape, "__pydantic_core_schema__"):
        raise SchemaError(f"{shape!r} is a dataclass of Pydantic's; make it a BaseModel.")
    try:
        return msgspec.json.schema(shape, schema_hook=_raw)
    except (TypeError, RuntimeError) as error:
        raise SchemaError(f"{shape!r} has no JSON Schema: {error}") from error


def _named(text: str) -> str:
    """A name as the API allows it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64] or "answer"
