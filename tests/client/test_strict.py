"""Schemas in the strict form: closed, all keys required, and nothing that decoding cannot hold."""

import enum
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from batchyard.client.building.build import SchemaError, format_of, read_as, strictly

PERMITTED = {
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"),
    *("enum", "const", "description", "title", "pattern", "format", "multipleOf", "minimum"),
    *("maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
}


def is_strict(schema: Any, root: dict[str, Any] | None = None) -> bool:
    """Whether a schema keeps every rule of OpenAI's structured outputs."""
    root = root or schema
    assert set(schema) <= PERMITTED, schema
    if "$ref" in schema:
        assert list(schema) == ["$ref"], schema
        assert schema["$ref"].removeprefix("#/$defs/") in root["$defs"]
    if "properties" in schema:
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += [*schema.get("$defs", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return all(is_strict(one, root) for one in inner)


class Mood(enum.Enum):
    """How it sounds."""

    GOOD = "good"
    BAD = "bad"


class Place(BaseModel):
    """Where."""

    city: str
    zip_code: str | None = Field(None, description="if it is known", max_length=5)


class Node(BaseModel):
    """A node of a tree."""

    name: str
    left: "Node | None" = Field(None, description="smaller")
    right: "Node | None" = None


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    """A dog."""

    kind: Literal["dog"]
    tricks: list[str] = Field(default_factory=list)


class Everything(BaseModel):
    """All that Pydantic can say and the API can take."""

    mood: Mood = Field(Mood.GOOD, description="how it sounds")
    home: Place = Field(description="where it lives")
    past: list[Place] = Field(max_length=3)
    pet: Cat | Dog = Field(discriminator="kind")
    tree: Node
    count: int = Field(ge=0, le=10)
    note: str | None = None


class Loose(TypedDict):
    """A key of it may be missing."""

    label: str
    reason: NotRequired[str]


@dataclass
class Sorted:
    """A dataclass in a dataclass."""

    best: Loose
    rest: list[Loose] = field(default_factory=list)
    why: str | None = None


@pytest.mark.parametrize("shape", [Everything, Node, Loose, Sorted, Place])
def test_types_become_strict_schemas(shape: Any) -> None:
    """Pydantic models, TypedDicts and dataclasses give schemas that keep every rule."""
    made = format_of(shape)
    assert made.name == shape.__name__
    assert made.schema["type"] == "object"
    assert is_strict(made.schema)


def test_fields_that_may_be_missing_may_be_null() -> None:
    """A field without need becomes nullable; one with a default becomes required."""
    schema = format_of(Loose).schema["properties"]
    assert schema["reason"]["type"] == ["string", "null"]
    assert format_of(Cat).schema["properties"]["lives"]["type"] == "integer"
    assert read_as(Loose, '{"label":"a","reason":null}') == {"label": "a"}
    assert read_as(Dog, '{"kind":"dog","tricks":null}') == Dog(kind="dog")


def test_constraints_that_decoding_cannot_hold_are_told_in_words() -> None:
    """`maxLength` and its like go to the description; they are not lost."""
    told = format_of(Place).schema["properties"]["zip_code"]
    assert "if it is known" in str(told)
    assert "maxLength: 5" in str(told)


def test_answers_come_back_as_their_type() -> None:
    """The same type reads what it asked for, and refuses what it is not."""
    assert read_as(Place, '{"city":"Rome","zip_code":null}') == Place(city="Rome", zip_code=None)
    found = read_as(Sorted, '{"best":{"label":"a","reason":null},"rest":[],"why":null}')
    assert found == Sorted(best={"label": "a"})
    assert read_as({"type": "object"}, '{"a":1}') == {"a": 1}
    with pytest.raises(ValueError, match="city"):
        read_as(Place, '{"town":"Rome"}')


def test_a_plain_json_schema_becomes_strict_and_stays_as_it_was() -> None:
    """Definitions anywhere, allOf, oneOf, and types of many are said the strict way."""
    given: dict[str, Any] = {
        "title": "An order!",
        "type": "object",
        "properties": {
            "who": {"allOf": [{"$ref": "#/definitions/P"}], "description": "buyer"},
            "what": {"oneOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]},
            "size": {"enum": ["s", "m"]},
            "at": {"type": "string", "format": "uri"},
        },
        "required": ["who"],
        "definitions": {"P": {"type": "object", "properties": {"n": {"type": "string"}}}},
    }
    before = repr(given)
    made = format_of(given)
    assert repr(given) == before
    assert made.name == "An_order_"
    assert is_strict(made.schema)
    assert made.schema["properties"]["what"]["anyOf"][-1] == {"type": "null"}
    assert made.schema["properties"]["size"] == {"anyOf": [{"enum": ["s", "m"]}, {"type": "null"}]}
    assert format_of(given, strict=False).schema == given


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "object", "additionalProperties": {"type": "string"}}, "free keys"),
        ({"type": "array", "items": {"type": "string"}}, "must be an object"),
        ({"type": "object", "properties": {"a": {}}}, r"\$\.a: anything"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, r"\$\.a: say what"),
        ({"type": "object", "properties": {"a": {"not": {"type": "null"}}}}, r"\$\.a: not"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/X"}}}, "leads nowhere"),
    ],
)
def test_what_cannot_be_strict_says_so(schema: dict[str, Any], why: str) -> None:
    """A schema that strict decoding cannot hold raises, and names the place and a way out."""
    with pytest.raises(SchemaError, match=why):
        strictly(schema)
