"""What is wrong with an answer, by its request's JSON Schema."""

import json
from typing import Any

import pytest

from batchyard.client.results.conforming import fault_of, shape_of

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["a", "b"]},
        "score": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "count": {"type": ["integer", "null"]},
        "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 3},
        "tags": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/tag"}},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["label"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "minLength": 2}},
}


def told(schema: Any, text: str) -> str | None:
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    shape = shape_of(json.dumps({"response_format": asked}).encode())
    assert shape is not None
    return fault_of(shape, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"label":"a"}', None),
        ('{"label":"a","count":2.0,"score":0,"code":"AB","tags":["xx"]}', None),
        ('{"label":"a","next":{"label":"b","next":null}}', None),
        ("[]", "$ must be object, not []."),
        ("{}", "$ lacks 'label'."),
        ('{"label":"c"}', '$.label must be one of ["a", "b"], not "c".'),
        ('{"label":"a","x":1}', "$ must not have 'x'."),
        ('{"label":"a","score":1}', "$.score must be less than 1, not 1."),
        ('{"label":"a","score":true}', "$.score must be number, not true."),
        ('{"label":"a","count":1.5}', "$.count must be integer or null, not 1.5."),
        ('{"label":"a","code":"ab"}', '$.code must match ^[A-Z]+$, not "ab".'),
        ('{"label":"a","code":"ABCD"}', "$.code has 4 characters, and may have at most 3."),
        ('{"label":"a","tags":[]}', "$.tags has 0 items, and must have at least 1."),
        ('{"label":"a","tags":["x"]}', "$.tags[0] has 1 characters, and must have at least 2."),
        (
            '{"label":"a","next":{}}',
            "$.next fits none of its forms: $.next lacks 'label'. / $.next must be null, not {}.",
        ),
        ('{"label":NaN}', "It is not JSON: NaN is no JSON number."),
    ],
)
def test_the_first_fault_is_told(text: str, fault: str | None) -> None:
    """Where it is, what must be, and what is."""
    assert told(SCHEMA, text) == fault


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"$ref": "#/nowhere"},
        {"$ref": "https://other"},
        {"pattern": "("},
        {"type": "x"},
        {"enum": 5},
    ],
    ids=json.dumps,
)
def test_what_a_schema_does_not_say_is_no_fault(schema: Any) -> None:
    """Nothing is refused for a word that is not known."""
    assert told(schema, '"x"') is None


def test_a_schema_that_turns_in_a_circle_comes_to_an_end() -> None:
    """A reference to itself says nothing about a value."""
    assert told({"$ref": "#"}, "1") is None


@pytest.mark.parametrize(
    ("body", "text", "fault"),
    [
        ({"text": {"format": {"type": "json_schema", "schema": {"type": "null"}}}}, "null", None),
        ({"text": {"format": {"type": "json_object"}}}, "1", "$ must be object, not 1."),
        ({"response_format": {"type": "json_object"}}, "{}", None),
    ],
)
def test_both_apis_are_understood(body: Any, text: str, fault: str | None) -> None:
    """`response_format` of chat completions, `text.format` of responses."""
    shape = shape_of(json.dumps(body).encode())
    assert shape is not None
    assert fault_of(shape, text) == fault


@pytest.mark.parametrize(
    "body",
    [{}, {"text": {"format": {"type": "text"}}}, {"response_format": "json"}, {"text": "hello"}],
    ids=json.dumps,
)
def test_any_text_will_do_where_none_is_asked_for(body: Any) -> None:
    """Also where the endpoint means something else by the same name."""
    assert shape_of(json.dumps(body).encode()) is None
