"""A table becomes requests: one for each row, keyed as one likes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from batchyard.client.building import build
from batchyard.client.building.build import ParameterError


class Review(NamedTuple):
    """A row as `itertuples` gives it."""

    id: int
    text: str


@dataclass
class Ticket:
    """A row as a dataclass."""

    id: str
    text: str


class Order(BaseModel):
    """A row as a model."""

    id: str
    text: str


ROWS: list[Any] = [
    {"id": "a", "text": "fine"},
    Review(7, "bad"),
    Ticket("t", "slow"),
    Order(id="o", text="lost"),
]


def test_rows_of_any_kind_become_requests() -> None:
    """Mappings, named tuples, dataclasses and models are rows; nested contents are templates."""
    prompt = [
        build.system('Say {"label": "..."}'),
        {"role": "user", "content": [{"type": "text", "text": "Judge: {text}"}]},
    ]
    made = list(build.chat_rows(ROWS, model="m1", messages=prompt, custom_id="id", temperature=0))
    assert [one.custom_id for one in made] == ["a", "7", "t", "o"]
    assert made[1].body["messages"] == [
        {"role": "system", "content": 'Say {"label": "..."}'},
        {"role": "user", "content": [{"type": "text", "text": "Judge: bad"}]},
    ]
    asked = build.response_rows(ROWS, model="m1", input="{text}", instructions="Judge {id}.")
    assert [one.body["instructions"] for one in asked][:2] == ["Judge a.", "Judge 7."]
    texts = build.embedding_rows(["x", "y"], model="m1", custom_id=lambda row: row["text"])
    assert [(one.custom_id, one.body["input"]) for one in texts] == [("x", "x"), ("y", "y")]


def test_keys_of_many_columns_do_not_collide() -> None:
    """A composite key tells its parts apart, whatever they hold."""
    rows = [{"a": "x:y", "b": "z"}, {"a": "x", "b": "y:z"}, {"a": "x%3Ay", "b": "z"}]
    assert len({build.key_of(row, ("a", "b")) for row in rows}) == 3
    assert build.key_of({"a": "de", "b": 7}, ("a", "b")) == "de:7"


def test_without_a_key_the_content_is_the_key() -> None:
    """The same request has the same custom_id in every run; another has another."""
    made = [list(build.chat_rows(ROWS, model="m1", messages="{text}")) for _ in range(2)]
    ids = [one.custom_id for one in made[0]]
    assert ids == [one.custom_id for one in made[1]]
    assert len(set(ids)) == 4
    other = build.chat_rows(ROWS[:1], model="m2", messages="{text}")
    assert next(other).custom_id not in ids


@pytest.mark.parametrize("row", [{"id": ""}, {"id": None}, {"id": float("nan")}, {"text": "x"}])
def test_a_row_without_a_key_is_refused(row: dict[str, Any]) -> None:
    """An empty or missing key raises, it does not become `None`."""
    with pytest.raises((ValueError, KeyError), match="column 'id'"):
        next(build.chat_rows([row], model="m1", messages="hi", custom_id="id"))


def test_options_of_a_row_are_checked() -> None:
    """A row's own parameters replace those of all, and are held to the same rules."""

    def own(row: build.Row) -> dict[str, Any]:
        return {"temperature": row["heat"]}

    rows = [{"id": "a", "heat": 1}, {"id": "b", "heat": 99}]
    made = build.chat_rows(
        rows, model="m1", messages="hi", custom_id="id", options=own, temperature=0.5
    )
    assert next(made).body["temperature"] == 1
    with pytest.raises(ParameterError, match=r"temperature must be .*custom_id 'b'"):
        next(made)
