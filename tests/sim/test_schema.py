"""Values made from a schema satisfy it."""

import json
import re
from datetime import date, datetime, time
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field

from batchyard.sim.patterns import match_of
from batchyard.sim.schema import UnsupportedSchemaError, instance
from batchyard.sim.texts import Texts

TEXTS = Texts(0)
ROUNDS = 40


class Colour(Enum):
    """A choice by name."""

    RED = "red"
    GREEN = "green"


class Bounded(BaseModel):
    """Every bound that a field can have."""

    model_config = ConfigDict(extra="forbid")

    a: Annotated[int, Field(ge=3, le=5)]
    b: Annotated[int, Field(gt=-10, lt=-7)]
    c: Annotated[int, Field(multiple_of=7, ge=100)]
    d: Annotated[float, Field(gt=0, lt=0.001)]
    e: Annotated[float, Field(ge=-1.5, le=-1.5)]
    f: Annotated[str, Field(min_length=60, max_length=61)]
    g: Annotated[str, Field(max_length=2)]
    h: Annotated[str, Field(pattern=r"^[A-Z]{2,3}-\d{4}(?:-x|-y)?$")]
    i: Annotated[list[int], Field(min_length=2, max_length=3)]
    j: set[Literal["p", "q", "r"]]
    k: Annotated[int, Field(lt=0)]


class Formats(BaseModel):
    """Every format."""

    a: datetime
    b: date
    c: time
    d: IPv4Address
    e: IPv6Address
    f: UUID
    g: AnyUrl


class Node(BaseModel):
    """A shape that contains itself, each time by choice."""

    name: str
    left: Optional["Node"]
    right: "Node | int"
    children: list["Node"]
    by_name: dict[str, "Node"] = {}


class Mixed(BaseModel):
    """Choices and defaults."""

    colour: Colour
    kind: Literal["only"]
    either: str | int | None
    pair: tuple[int, str]
    maybe: bool = True
    inner: Bounded | Formats
    counts: dict[str, int]


@pytest.mark.parametrize("model", [Bounded, Formats, Node, Mixed])
def test_values_satisfy_the_schema(model: type[BaseModel]) -> None:
    """Whatever the seed, the model reads the value that was made from its own schema."""
    schema = model.model_json_schema()
    for seed in range(ROUNDS):
        made = instance(schema, Random(seed), TEXTS)
        model.model_validate_json(json.dumps(made))


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"const": 5}, lambda made: made == 5),
        ({"enum": [1, None]}, lambda made: made in (1, None)),
        ({"type": ["null", "string"]}, lambda made: made is None or isinstance(made, str)),
        ({}, lambda made: isinstance(made, str)),
        (True, lambda made: isinstance(made, str)),
        ({"properties": {"a": {"type": "null"}}, "required": ["a", "b"]}, lambda m: "b" in m),
        ({"type": "object", "minProperties": 3}, lambda made: len(made) >= 3),
        (
            {
                "type": "object",
                "properties": {name: {"type": "null"} for name in "abcdef"},
                "required": ["f"],
                "maxProperties": 2,
            },
            lambda made: "f" in made and len(made) <= 2,
        ),
        ({"type": "array", "maxItems": 0}, lambda made: made == []),
        (
            {"type": "array", "uniqueItems": True, "minItems": 2, "items": {"type": "boolean"}},
            lambda made: sorted(made) == [False, True],
        ),
        ({"type": "integer", "multipleOf": 1.5, "minimum": 1}, lambda made: made % 3 == 0),
        ({"type": "number", "multipleOf": 0.1, "maximum": 1}, lambda made: made <= 1),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]},
                ]
            },
            lambda made: made == {"a": 1, "b": 2},
        ),
        (
            {"$defs": {"a/b": {"const": 7}}, "$ref": "#/$defs/a~1b"},
            lambda made: made == 7,
        ),
    ],
)
def test_keywords(schema: Any, fits: Any) -> None:
    """Each keyword is kept, whatever the seed."""
    for seed in range(ROUNDS):
        assert fits(instance(schema, Random(seed), TEXTS))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        5,
        {"not": {}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/missing"},
        {"$ref": "#"},
        {"type": "tuple"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "[", "minLength": "x"},
        {"enum": []},
        {"properties": 5},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    ],
)
def test_what_cannot_be_made_is_said(schema: Any) -> None:
    """A schema that is wrong, or beyond this simulation, is refused and nothing else happens."""
    with pytest.raises(UnsupportedSchemaError):
        instance(schema, Random(0), TEXTS)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{4}$",
        r"[a-z]+@[a-z]+\.(com|org)",
        r"^(?:a|bc*)+d?$",
        r"^[^a-z\s]{2,}$",
        r"\w\s\S\D\.",
        r"^#[0-9A-Fa-f]{6}$",
        r"^[]x-]{3}[\-\d]$",
        r"^a{0,2}b{2}$",
        "",
    ],
)
def test_texts_match_their_pattern(pattern: str) -> None:
    """A made text matches, whatever the seed."""
    for seed in range(ROUNDS):
        assert re.search(pattern, match_of(pattern, Random(seed)))
