"""One-liners at the edges of what people give them: it works, or the row and the fix are told."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import polars
import pytest
from pydantic import BaseModel

import batchyard
from batchyard.client.building.packing import pack
from batchyard.client.building.schema import SchemaError
from batchyard.client.building.writing import DuplicateIdError
from batchyard.client.results.answering import Reading, ReadingError
from batchyard.client.tables import TableError
from tests.client.conftest import Strict

LABELS = ["a", "b"]
NO_TEXT = "The row has no text."


class Colour(Enum):
    """Labels that a program has already."""

    RED = "red"
    BLUE = "blue"


@pytest.fixture
def terms(strict: Strict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    settings = {"poll_seconds": 0.05, "settle_seconds": 0.01}
    return {"model": "m1", "to": strict.server.url, "key": "key", "settings": settings}


def test_texts_that_are_missing_are_told_and_the_rest_is_asked(terms: dict[str, Any]) -> None:
    """None, NaN, blanks, and None of a function; numbers are texts."""
    rows = [None, math.nan, {"text": None}, {"text": math.nan}, {"text": " "}, {"text": 5}, "x"]
    for campaign in (
        batchyard.classify(rows, LABELS, **terms),
        batchyard.embed(rows, **terms),
        batchyard.generate(rows, lambda row: row["text"], **terms),
    ):
        answers = list(campaign.answers())
        assert [one.outcome for one in answers] == ["errored"] * 5 + ["succeeded"] * 2
        assert {one.error for one in answers[:5]} == {NO_TEXT}


def from_pandas(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows)


def from_arrow(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pyarrow").Table.from_pylist(rows)


@pytest.mark.parametrize("framed", [polars.DataFrame, from_pandas, from_arrow])
def test_frames_have_the_same_edges(
    framed: Callable[[list[dict[str, Any]]], Any], terms: dict[str, Any]
) -> None:
    """What is missing in a column is missing as a text; the column has its place all the same."""
    frame = framed([{"n": 1, "text": "x"}, {"n": 2, "text": None}, {"n": 3, "text": "y"}])
    campaign = batchyard.classify(frame, LABELS, **terms)
    assert [one["error"] for one in campaign.rows()] == [None, NO_TEXT, None]
    numbers = campaign.add_to(frame)["n"]
    # In a list of an Arrow column each number is in a wrapping.
    assert getattr(numbers, "to_pylist", lambda: list(numbers))() == [1, 2, 3]


def test_labels_may_be_odd(terms: dict[str, Any]) -> None:
    """Quotes, lines, braces and commas; those that differ in capitals alone; an Enum; a set."""
    odd = ['say "hi"', "new\nline", "🙂 {x}", "a, b; c", "Yes", "yes", "<b>"]
    texts = [f"text {number}" for number in range(30)]
    found = [one.value for one in batchyard.classify(texts, odd, **terms).answers()]
    assert set(found) <= set(odd)
    assert {"Yes", "yes"} & set(found)
    several = batchyard.classify(texts, odd, multiple=True, **terms)
    assert all(set(one.value) <= set(odd) for one in several.answers())
    several.to("labels.csv")
    assert next(batchyard.tables.rows_of("labels.csv"))["labels"][0] == "["
    chosen = {one.value for one in batchyard.classify(texts, Colour, **terms).answers()}
    assert chosen == {"red", "blue"}
    sets = [batchyard.classify(texts, {"x", "y", "z"}, **terms) for _ in range(2)]
    assert sets[0].sheet.reading.labels == ("x", "y", "z")
    assert sets[0].folder == sets[1].folder
    read = Reading(kind="classify", labels=("Yes", "yes", "No"))
    assert [read.value(said) for said in ("yes", "Yes", "no.")] == ["yes", "Yes", "No"]
    with pytest.raises(ReadingError):
        read.value("YES")


class Part(BaseModel):
    """An inner object."""

    n: int
    when: date | None = None


class Whole(BaseModel):
    """What programs have in their models."""

    name: str
    colour: Colour
    kind: Literal["x", "y"]
    at: datetime
    part: Part
    perhaps: Part | None = None
    parts: list[Part]
    note: str | None = None
    id: UUID | None = None


@dataclass
class Plain:
    """The same without Pydantic."""

    colour: Colour
    day: date
    size: int | None


class Loose(BaseModel):
    """An object with free keys."""

    counts: dict[str, int]


@pytest.mark.parametrize("shape", [Whole, Plain])
def test_models_of_every_kind_come_back(shape: Any, terms: dict[str, Any]) -> None:
    """Optional, nested, Enum, Literal, dates; in files as columns."""
    campaign = batchyard.extract(["one", "two"], shape, **terms)
    assert all(isinstance(one.value, shape) for one in campaign.answers())
    campaign.to("out.csv")
    campaign.to("out.parquet")
    row = next(batchyard.tables.rows_of("out.parquet"))
    assert row["colour"] in ("red", "blue")
    if shape is Whole:
        assert {"part_n", "part_when", "perhaps_n", "parts", "note", "id"} <= set(row)


def test_free_keys_want_a_loose_schema(terms: dict[str, Any]) -> None:
    """What the error says to do can be done."""
    with pytest.raises(SchemaError, match="strict=False"):
        batchyard.extract(["one"], Loose, **terms)
    (found,) = batchyard.extract(["one"], Loose, strict=False, **terms).answers()
    assert isinstance(found.value, Loose)


def test_a_long_text_fails_alone(terms: dict[str, Any]) -> None:
    """It is in no line with others; vectors come in base64 too, and in their order."""
    long = "word " * 4_000
    packed = [one.body["input"] for one in pack(["a", "b", long, "c", long, long, "d"], model="m")]
    assert packed == [["a", "b"], [long], ["c"], [long], [long], ["d"]]
    texts = ["a", long, "b"]
    forms: tuple[dict[str, Any], ...] = ({}, {"encoding_format": "base64"})
    plain, encoded = (
        [one.value for one in batchyard.embed(texts, dimensions=4, **terms, **form).answers()]
        for form in forms
    )
    assert [pytest.approx(one, abs=1e-6) for one in plain] == encoded


def test_rows_of_unknown_number_are_read_once(terms: dict[str, Any]) -> None:
    """A generator is read to its end; one that breaks leaves nothing behind."""

    def broken() -> Iterator[str]:
        yield "one"
        raise OSError("the source broke")

    texts = (f"text {number}" for number in range(7))
    assert len(list(batchyard.generate(texts, **terms).answers())) == 7
    before = sorted(Path(".batchyard").iterdir())
    with pytest.raises(OSError, match="the source broke"):
        batchyard.generate(broken(), **terms)
    assert sorted(Path(".batchyard").iterdir()) == before


def test_columns_may_hold_anything(terms: dict[str, Any]) -> None:
    """They come back as JSON has them."""
    row = {"text": "x", "d": Decimal("1.5"), "s": {1}, "b": b"\xff", "n": math.nan, "o": ("a", 1)}
    row |= {"p": Path("a"), "at": datetime(2026, 11, 21, tzinfo=UTC), "c": Colour.RED}
    (told,) = batchyard.generate([row], **terms).rows()
    assert {name: told[name] for name in "dsbnopc"} == {
        "d": "1.5",
        "s": [1],
        "b": "/w==",
        "n": None,
        "o": ["a", 1],
        "p": "a",
        "c": "red",
    }


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        (["a", 5], {}, "Row 2: A row must be a mapping, a record or a text, not 5"),
        ([{"a": 1}, {"b": 2}], {"template": "{a}"}, "Row 2: The row has no field 'a'"),
        ([{"text": "a"}, {"n": 1, "m": 2}], {}, "Row 2: Say with text= which column"),
        (["ok", "bad \ud800"], {}, "Row 2: it has .* no whole character; mend it with text.enc"),
        (
            [{"id": 1, "text": "a"}, {"text": "b"}],
            {"id": "id"},
            "Row 2: The row has no column 'id'",
        ),
        ([{"id": None, "text": "b"}], {"id": "id"}, "Row 1: The column 'id' is empty"),
        ([{"id": "a\nb", "text": "b"}], {"id": "id"}, "Row 1: The custom_id must have 1 to"),
        ({"text": ["a", "b"]}, {}, "or columns: give a list of rows"),
        ("a text", {}, "Texts are given as a list"),
        (iter([]), {}, "There are no rows"),
    ],
)
def test_what_is_wrong_is_told_with_its_row(
    rows: Any, more: dict[str, Any], said: str, terms: dict[str, Any]
) -> None:
    """Before anything is submitted, and nothing is left behind."""
    with pytest.raises(ValueError, match=said):
        batchyard.generate(rows, **terms, **more)
    assert not Path(".batchyard").exists() or not list(Path(".batchyard").iterdir())


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("spam", "Labels are a list of texts, not one"),
        ([1, 2], "must be a text that is not blank, unlike 1"),
        (["a", " "], "not blank, unlike ' '"),
        (["a", "a"], "each once"),
        ([], "There must be labels"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, said: str, terms: dict[str, Any]) -> None:
    """A text is no list of letters."""
    with pytest.raises(ValueError, match=said):
        batchyard.classify(["x"], labels, **terms)


def test_an_id_that_comes_twice_names_both_rows(terms: dict[str, Any]) -> None:
    """And what to do about it."""
    rows = [{"id": n % 2, "text": "a"} for n in range(3)]
    with pytest.raises(DuplicateIdError, match=r"Row 3 has the custom_id '0' of row 1\. Name more"):
        batchyard.generate(rows, id="id", **terms)
    with pytest.raises(TableError, match="Row 2"):
        batchyard.embed([{"text": "a"}, ("b",)], **terms)
