"""A JSON Schema made strict: closed objects, all keys required, nothing that decoding cannot hold.

What need not be there and has no default may be null. A constraint that strict decoding does not
know is told in the description instead, for the model to read.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["SchemaError", "strictly"]


class SchemaError(ValueError):
    """A schema that cannot be said in the strict form; the text names the place and a way out."""


def strictly(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The strict form of a schema; the one given stays as it is."""
    return _Strict(schema).made()


# Strict decoding has no notion of these, and a description cannot stand in for them.
_IMPOSSIBLE = {
    "not": "not",
    "if": "if/then/else",
    "patternProperties": "patternProperties",
    "propertyNames": "propertyNames",
    "dependentRequired": "dependentRequired",
    "dependentSchemas": "dependentSchemas",
    "prefixItems": "tuples (prefixItems)",
    "contains": "contains",
    "unevaluatedProperties": "unevaluatedProperties",
}
# What is told to the model in words.
_TOLD = (
    "minLength",
    "maxLength",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
    "contentMediaType",
    "examples",
)
_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
}
# What says nothing about the answer.
_SILENT = ("default", "discriminator", "$schema", "$id", "$comment", "deprecated", "readOnly")
_DEFS = ("$defs", "definitions")


class _Strict:
    """Makes one schema strict, with what it refers to."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = deepcopy(dict(schema))
        self._defs: dict[str, Any] = {}
        self._gather(self._root)
        self._inlining: list[str] = []

    def made(self) -> dict[str, Any]:
        root = self._root
        seen: set[str] = set()
        while set(root) & {"$ref"} and root["$ref"] not in seen:
            seen.add(root["$ref"])
            root = {**self._find(root["$ref"], "$"), **_without(root, "$ref")}
        made = self._schema(root, "$")
        if made.get("type") != "object" or "anyOf" in made:
            raise SchemaError(
                "The answer itself must be an object: put the list, union or value into a field "
                "of one."
            )
        wanted = self._reached(made)
        return {**made, "$defs": wanted} if wanted else made

    def _reached(self, made: dict[str, Any]) -> dict[str, Any]:
        """The strict definitions that the strict schema refers to, and what they refer to."""
        found: dict[str, Any] = {}
        waiting = _references(made)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._schema(self._defs[name], f"$defs.{name}")
                waiting |= _references(found[name])
        return {name: found[name] for name in self._defs if name in found}

    def _gather(self, schema: Any) -> None:
        """Lift definitions to the root, wherever they stand."""
        if isinstance(schema, dict):
            for key in _DEFS:
                if isinstance(schema.get(key), dict) and not _is_property_list(schema, key):
                    for name, one in schema.pop(key).items():
                        self._defs.setdefault(name, one)
                        self._gather(one)
            for one in schema.values():
                self._gather(one)
        elif isinstance(schema, list):
            for one in schema:
                self._gather(one)

    def _find(self, ref: str, path: str) -> dict[str, Any]:
        name = _pointed(ref)
        if ref == "#":
            return self._root
        if name is None or not isinstance(self._defs.get(name), dict):
            raise SchemaError(f"{path}: the reference '{ref}' leads nowhere.")
        found: dict[str, Any] = self._defs[name]
        return found

    def _schema(self, schema: Any, path: str) -> dict[str, Any]:
        if not isinstance(schema, dict) or not schema:
            raise SchemaError(f"{path}: anything goes here, and strict decoding must know what.")
        for key, text in _IMPOSSIBLE.items():
            if key in schema:
                raise SchemaError(
                    f"{path}: {text} cannot be said in a strict schema; change the type, or ask "
                    "with strict=False."
                )
        made = {key: one for key, one in schema.items() if key not in _SILENT}
        if "$ref" in made:
            return self._reference(made, path)
        made = self._merged(made, path)
        self._tell(made)
        for key in ("anyOf", "oneOf"):
            if key in made:
                made["anyOf"] = [
                    self._schema(one, f"{path}.{key}[{index}]")
                    for index, one in enumerate(made.pop(key))
                ]
        if made.get("type") == "object" or "properties" in made:
            self._object(made, path)
        if "items" in made:
            made["items"] = self._schema(made["items"], f"{path}[]")
        elif made.get("type") == "array":
            raise SchemaError(f"{path}: say what the array holds, such as list[str].")
        return made

    def _reference(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """A reference stands alone; with words beside it, what it refers to takes its place."""
        ref = schema["$ref"]
        found, beside = self._find(ref, path), _without(schema, "$ref")
        if ref == "#":
            return {"$ref": "#"}
        name = _pointed(ref)
        if not beside:
            return {"$ref": f"#/$defs/{_escaped(str(name))}"}
        if name in self._inlining:
            return {"anyOf": [{"$ref": f"#/$defs/{_escaped(str(name))}"}], **beside}
        self._inlining.append(str(name))
        made = self._schema({**found, **beside}, path)
        self._inlining.pop()
        return made

    def _merged(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """Without `allOf`: its parts become one schema."""
        if "allOf" not in schema:
            return schema
        made = _without(schema, "allOf")
        for part in schema["allOf"]:
            part = dict(part)
            while "$ref" in part:
                part = {**self._find(part["$ref"], path), **_without(part, "$ref")}
            part = self._merged(_without(part, *_SILENT), path)
            for key, value in part.items():
                if key == "properties":
                    made[key] = {**value, **made.get(key, {})}
                elif key == "required":
                    made[key] = list(dict.fromkeys([*made.get(key, ()), *value]))
                elif key in ("title", "description", "additionalProperties"):
                    made.setdefault(key, value)
                elif made.setdefault(key, value) != value:
                    raise SchemaError(f"{path}: the parts of allOf disagree about {key}.")
        return made

    def _object(self, made: dict[str, Any], path: str) -> None:
        properties = made.get("properties", {})
        others = made.get("additionalProperties", False)
        if isinstance(others, dict) or (others is True and not properties) or not properties:
            if "properties" in made and not others:
                pass
            else:
                raise SchemaError(
                    f"{path}: an object with free keys cannot be strict; use a list of objects "
                    "with a key and a value, or ask with strict=False."
                )
        needed = made.get("required", ())
        made["type"] = "object"
        made["properties"] = {
            name: self._property(one, name in needed, f"{path}.{name}")
            for name, one in properties.items()
        }
        made["required"] = list(properties)
        made["additionalProperties"] = False

    def _property(self, schema: Any, is_needed: bool, path: str) -> dict[str, Any]:
        made = self._schema(schema, path)
        if is_needed or "default" in schema or _takes_null(made):
            return made
        kind = made.get("type")
        if isinstance(kind, str | list) and not {"enum", "const"} & set(made):
            kinds = [kind] if isinstance(kind, str) else kind
            return {**made, "type": [*kinds, "null"]}
        if "anyOf" in made:
            return {**made, "anyOf": [*made["anyOf"], {"type": "null"}]}
        told = {key: made.pop(key) for key in ("description",) if key in made}
        return {"anyOf": [made, {"type": "null"}], **told}

    def _tell(self, made: dict[str, Any]) -> None:
        """Say in the description what strict decoding does not hold a model to."""
        words = [f"{key}: {json.dumps(made.pop(key))}" for key in _TOLD if key in made]
        if "format" in made and made["format"] not in _FORMATS:
            words.append(f"format: {json.dumps(made.pop('format'))}")
        if words:
            before = f"{made['description']} " if made.get("description") else ""
            made["description"] = f"{before}({', '.join(words)})"


def _takes_null(made: dict[str, Any]) -> bool:
    kind = made.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return True
    return None in made.get("enum", ()) or any(_takes_null(one) for one in made.get("anyOf", ()))


def _is_property_list(schema: dict[str, Any], key: str) -> bool:
    """Whether the schema is a list of properties, one of which has this name."""
    return any(name in schema[key] for name in ("type", "$ref", "anyOf"))


def _pointed(ref: str) -> str | None:
    for key in _DEFS:
        if ref.startswith(f"#/{key}/"):
            return ref.removeprefix(f"#/{key}/").replace("~1", "/").replace("~0", "~")
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {str(_pointed(schema["$ref"]))} if isinstance(schema.get("$ref"), str) else set()
        return (own - {"None"}).union(*map(_references, schema.values()))
    if isinstance(schema, list):
        return set[str]().union(*map(_references, schema))
    return set()


def _without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: one for key, one in schema.items() if key not in keys}
