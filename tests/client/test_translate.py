"""Translations keep what programs need: placeholders, tags, addresses."""

from pathlib import Path
from typing import Any

import pytest

import batchyard
from batchyard.client.results.placeholders import lost, placeholders_in
from tests.client.stand_in import StandIn

TEXT = "Hi {name}, %d <b>new</b> files: https://example.com/a."


@pytest.fixture
def terms(other: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    settings = {"poll_seconds": 0.01, "settle_seconds": 0.0}
    return {"model": "m1", "to": other.url, "key": "key", "settings": settings}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{name} {0} {} {a.b[0]!r} {price:.2f} ${total}", 6),
        ("%s %d %(kind)s %1$s %.2f %@", 6),
        ("{{ user }} {% if x %}", 2),
        ("<b>x</b><br/><a href='/x' title='a word'>y</a>", 5),
        ("Go to https://x.y/z?a=1.", 1),
        ("{amount, number} {n, plural, one {# file} other {{name} has #}}", 2),
        ("100% sure, 50%discount, 20% of 5%; a < b > c; {not this one}", 0),
    ],
)
def test_placeholders_are_known_from_words(text: str, found: int) -> None:
    """Those of programs, templates, markup and messages; percent signs and braces are not."""
    assert len(placeholders_in(text)) == found


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("Hallo {name}, %d <b>neue</b> Dateien: https://example.com/a。", ()),
        ("{name}: https://example.com/a – <b>neu</b>: %1$d", ()),
        ("Hallo {Name}, %d <b>neue Dateien: https://example.com/b.", ("{name}", "</b>")),
    ],
)
def test_what_is_lost_is_named(answer: str, missing: tuple[str, ...]) -> None:
    """Whatever its place in the sentence is."""
    assert lost(placeholders_in(TEXT), answer)[: len(missing)] == missing
    assert bool(lost(placeholders_in(TEXT), answer)) == bool(missing)


def test_a_translation_that_lost_one_is_asked_again(other: StandIn, terms: dict[str, Any]) -> None:
    """With what it lacks; one that never has it is no translation, and is not kept for later."""
    good = TEXT.replace("files", "Dateien")
    other.habits.answers = lambda id, time: (
        "says Hallo!" if id == "row-000002" or time == 1 else f"says {good}"
    )
    rows = [TEXT, TEXT + " {never}", "No mark."]
    answers = list(batchyard.translate(rows, "German", **terms).answers())
    assert [one.outcome for one in answers] == ["succeeded", "invalid_output", "succeeded"]
    assert (answers[0].value, answers[2].value) == (good, "Hallo!")
    assert answers[1].error is not None
    assert "{never}" in answers[1].error
    (told,) = [
        one["messages"][-1]["content"]
        for one in other.bodies
        if len(one["messages"]) == 4 and one["messages"][1]["content"] == TEXT
    ]
    assert "It lacks {name}, %d, <b>, </b>, https://example.com/a of the text" in told


def test_placeholders_may_be_left_to_the_model(other: StandIn, terms: dict[str, Any]) -> None:
    """An answer that was taken that way is asked for anew by whoever wants them."""
    loose = batchyard.translate([TEXT], "German", keep_placeholders=False, **terms)
    assert [one.value for one in loose.answers()] == ["yes"]
    loose.tally()
    other.habits.answers = lambda _id, _time: f"says {TEXT}"
    strict = batchyard.translate([TEXT], "German", **terms)
    assert [one.value for one in strict.answers()] == [TEXT]
    assert strict.tally().sources == {"asked": 1}
