"""JSON values that satisfy a JSON schema."""

import json
import math
from collections.abc import Mapping
from random import Random
from typing import Any

from batchyard.sim.numbers import make_number
from batchyard.sim.strings import make_string
from batchyard.sim.texts import Texts

__all__ = ["UnsupportedSchemaError", "instance"]

# Below this depth only what must be there is made, so that schemas that name themselves end.
_GENEROUS_DEPTH = 4
_DEPTH_MAX = 50
_UNIQUE_TRIES = 200
_UNSUPPORTED = (
    "not",
    "if",
    "contains",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
)


class UnsupportedSchemaError(Exception):
    """The schema asks for something that is not made here; the text names it."""


def instance(schema: Any, chance: Random, texts: Texts) -> Any:
    """A value that satisfies the schema; raises UnsupportedSchemaError where that cannot be."""
    try:
        return _Maker(schema, chance, texts).make(schema, 0)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        # A schema is what a client wrote: any part of it may be of the wrong type.
        raise UnsupportedSchemaError(f"it ({error})") from error


class _Maker:
    """Makes values for one root schema, to which its references point."""

    def __init__(self, root: Any, chance: Random, texts: Texts) -> None:
        self._root = root
        self._chance = chance
        self._texts = texts

    def make(self, schema: Any, depth: int) -> Any:
        """A value for a schema so deep below the root."""
        schema = self._resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        kind = _kind(schema)
        if isinstance(kind, list):
            kind = min(kind, key=_weight) if depth > _GENEROUS_DEPTH else self._chance.choice(kind)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return make_string(schema, self._chance, self._texts)
        if kind in ("integer", "number"):
            return make_number(schema, kind, self._chance)
        if kind == "boolean":
            return self._chance.random() < 0.5
        if kind == "null":
            return None
        raise UnsupportedSchemaError(f"the type {kind}")

    def _resolve(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with its references followed, its parts joined and its choices made."""
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise UnsupportedSchemaError("a schema that is not an object")
        if depth > _DEPTH_MAX:
            raise UnsupportedSchemaError("a schema without an end")
        rest = dict(schema)
        for name in _UNSUPPORTED:
            if name in rest:
                raise UnsupportedSchemaError(f"`{name}`")
        parts = []
        if "$ref" in rest:
            parts.append(self._look_up(rest.pop("$ref")))
        parts += rest.pop("allOf", [])
        for choice in ("anyOf", "oneOf"):
            if choice in rest:
                parts.append(self._choose(rest.pop(choice), depth))
        for part in parts:
            rest = _join(self._resolve(part, depth + 1), rest)
        return rest

    def _look_up(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise UnsupportedSchemaError(f"the reference {reference}")
        found = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found[int(step)] if isinstance(found, list) else found[step]
        return found

    def _choose(self, options: list[Any], depth: int) -> Any:
        if depth <= _GENEROUS_DEPTH:
            return self._chance.choice(options)
        return min(options, key=self._weight_of)

    def _weight_of(self, option: Any) -> int:
        if isinstance(option, dict) and "$ref" in option:
            option = self._look_up(option["$ref"])
        if not isinstance(option, dict) or "const" in option or "enum" in option:
            return 0
        kind = _kind(option)
        if isinstance(kind, list):
            return min(map(_weight, kind))
        if kind == "object" and option.get("required"):
            return 3
        return _weight(kind)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        others = schema.get("additionalProperties", True)
        left_over = len(required)
        made: dict[str, Any] = {}
        for name, sub in properties.items():
            if name in required:
                left_over -= 1
            elif len(made) + left_over >= most or not self._is_wanted(len(made) < least, depth):
                continue
            made[name] = self.make(sub, depth + 1)
        extra = [name for name in required if name not in properties]
        extra += [f"key_{index}" for index in range(least - len(made) - len(extra))]
        for name in extra:
            made[name] = self.make(others, depth + 1)
        return made

    def _is_wanted(self, is_needed: bool, depth: int) -> bool:
        return is_needed or (depth < _GENEROUS_DEPTH and self._chance.random() < 0.5)

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first: list[Any] = schema.get("prefixItems", [])
        others = schema.get("items", True)
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, len(first)) + 3)
        if others is False:
            most = min(most, len(first))
        count = least
        if depth <= _GENEROUS_DEPTH and most > least:
            count = self._chance.randint(min(max(least, len(first), 1), most), most)
        made: list[Any] = []
        seen: set[str] = set()
        tries = 0
        while len(made) < count and tries < count + _UNIQUE_TRIES:
            tries += 1
            index = len(made)
            value = self.make(first[index] if index < len(first) else others, depth + 1)
            said = json.dumps(value, sort_keys=True)
            if schema.get("uniqueItems") and said in seen:
                continue
            seen.add(said)
            made.append(value)
        if len(made) < least:
            raise UnsupportedSchemaError(f"an array of {least} elements that all differ")
        return made


def _kind(schema: dict[str, Any]) -> Any:
    if "type" in schema:
        return schema["type"]
    for kind, names in _TELLING.items():
        if any(name in schema for name in names):
            return kind
    return "string"


# What tells the type of a schema that names none.
_TELLING = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "number": ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
}


def _weight(kind: Any) -> int:
    """How likely a value of this type goes deeper."""
    return {"array": 1, "object": 2}.get(kind, 0)


def _join(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    joined = {**base, **over}
    if "properties" in base and "properties" in over:
        joined["properties"] = {**base["properties"], **over["properties"]}
    if "required" in base and "required" in over:
        joined["required"] = list(dict.fromkeys([*base["required"], *over["required"]]))
    return joined
