"""Values that are set and removed in every line."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from batchyard.client.building.parameters import ParameterError, UnknownParameterWarning
from batchyard.client.examining.editing import Edit, EditError, edit, value_of
from tests.client.lines import RESPONSES, line


def edited(text: str, **values: Any) -> str:
    """A line after edits; two underscores stand for the dot."""
    edits = [Edit(tuple(path.split("__")), value) for path, value in values.items()]
    ((found, _),) = edit([(1, text.strip().encode())], edits)
    return found.decode()


def test_only_what_is_named_changes() -> None:
    """Numbers, spaces and order of all other values stay byte for byte."""
    text = (
        '{"custom_id": "a", "url": "/v1/chat/completions", "method":"POST", "body": '
        '{"seed": 1.50, "temperature":1, "messages": [ {"role":"user"} ], "x": "\\u00e9"}}'
    )
    assert edited(text, body__temperature=0, body__stream=UNSET, body__top_p=0.5) == (
        '{"custom_id":"a","url":"/v1/chat/completions","method":"POST","body":'
        '{"seed":1.50,"temperature":0,"messages":[ {"role":"user"} ],"x":"\\u00e9","top_p":0.5}}'
    )
    assert edited(text, body__temperature=1, body__stream=UNSET, body__a__b=UNSET) == text


def test_paths_lead_inside() -> None:
    """Objects come to be on the way; lists have numbers."""
    body = json.loads(
        edited(line(), body__a__b=[1], body__messages__0__content="x", url=RESPONSES)
    )["body"]
    assert body["a"] == {"b": [1]}
    assert body["messages"] == [{"role": "user", "content": "x"}]
    assert json.loads(edited(line(), body__messages__0=UNSET))["body"]["messages"] == []


def test_lone_surrogates_survive() -> None:
    """What JSON allows and our fast decoder refuses is edited all the same."""
    text = line(user="\ud800").strip()
    assert "\\ud800" in edited(text, body__messages=[], body__seed=1)
    listed = line(messages=[{"content": "\ud800"}, {"content": "b"}])
    assert "\\ud800" in edited(listed, body__messages__1__content="c")


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("custom_id", "x", "every line needs its own"),
        ("temperature", 0, "did you mean body.temperature?"),
        ("url", UNSET, "needs its url"),
        ("body..a", 0, "is no path"),
    ],
)
def test_what_can_be_nowhere_is_told_first(path: str, value: object, text: str) -> None:
    """No line is read for an edit that makes no sense."""
    with pytest.raises(EditError, match=text) as caught:
        next(edit(iter(()), [Edit(tuple(path.split(".")), value)]), None)
    assert caught.value.line is None


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (["body.a", "body.a"], "edited twice"),
        (["body.a", "body.a.b"], "both edited"),
        (["body.a.b", "body.a"], "edited twice"),
    ],
)
def test_edits_that_exclude_each_other_are_refused(paths: list[str], text: str) -> None:
    """Nobody has to guess which of them would win."""
    with pytest.raises(EditError, match=text):
        next(edit(iter(()), [Edit(tuple(path.split(".")), 1) for path in paths]), None)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("[1]", "body.a", "no JSON object"),
        ("oops", "body.a", "no JSON object"),
        (line(), "body.model.name", "body.model has nothing inside"),
        (line(), "body.messages.7.content", "body.messages has no 7; it is a list of 1"),
    ],
)
def test_a_line_that_cannot_be_edited_is_named(text: str, path: str, said: str) -> None:
    """The error tells the line and what is in the way."""
    with pytest.raises(EditError, match=said) as caught:
        list(edit([(9, text.strip().encode())], [Edit(tuple(path.split(".")), 1)]))
    assert caught.value.line == 9


def test_parameters_are_checked() -> None:
    """As the builder does: values that no model takes are refused, likely typos are warned of."""
    with pytest.raises(ParameterError, match="temperature must be"):
        edited(line(), body__temperature=7)
    with pytest.warns(UnknownParameterWarning, match="did you mean 'temperature'"):
        edited(line(), body__temprature=0)


def test_a_value_is_json_or_a_text() -> None:
    """Quotes make a text of what would be a number."""
    assert [value_of(text) for text in ("0", "0.5", '"0"', "gpt-5", "null", "[1]", "NaN")] == [
        0,
        0.5,
        "0",
        "gpt-5",
        None,
        [1],
        "NaN",
    ]
