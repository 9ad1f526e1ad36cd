"""Scorers of `evaluate`: rules, functions and judges, in the table, the scores and the report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batchyard
from batchyard import scorers
from batchyard.client.report.writing import facts_of
from batchyard.client.results.scorers import Scorer, as_scorer
from batchyard.client.tabular.scoring import interval
from tests.client.pages import read_page
from tests.client.stand_in import StandIn


@pytest.fixture
def asked(other: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    settings = {"poll_seconds": 0.01, "settle_seconds": 0.0, "rounds_max": 1}
    return {"to": other.url, "key": "key", "settings": settings}


@pytest.mark.parametrize(
    ("scorer", "answer", "expected", "right"),
    [
        (scorers.exact(), '"Paris."', "paris", True),
        (scorers.exact(), "In Paris", "Paris", False),
        (scorers.contains(), "It is PARIS, of course", "Paris", True),
        (scorers.contains(), "Paris and Rome", ["paris", "rome"], True),
        (scorers.contains(), "Paris", ["paris", "rome"], False),
        (scorers.regex(), "on 2026-11-21", r"\d{4}-\d\d-\d\d", True),
        (scorers.regex(), "tomorrow", r"\d{4}", False),
        (scorers.number(), "3 + 4 makes 7.", 7, True),
        (scorers.number(), "1,234.50 EUR", "1234.5", True),
        (scorers.number(), "about 6.9", 7, False),
        (scorers.number(0.1), "about 6.9", 7, True),
        (scorers.number(relative=0.05), "104", 100, True),
        (scorers.number(), "−5 °C", -5, True),
        (scorers.number(), "none", 0, False),
        (scorers.json_fields(), '```json\n{"a": 1, "b": "x"}\n```', {"a": 1.0}, True),
        (scorers.json_fields("b"), '{"a": 2, "b": "x"}', '{"a": 1, "b": "x"}', True),
        (scorers.json_fields(), '{"a": true}', {"a": 1}, False),
        (scorers.json_fields(), "no JSON", {"a": 1}, False),
    ],
)
def test_rules_say_what_is_right(scorer: Scorer, answer: str, expected: Any, right: bool) -> None:
    """Each by what its name says."""
    assert scorer.is_right(answer, expected) is right


def test_a_rule_scores_each_model(other: StandIn, asked: dict[str, Any], tmp_path: Path) -> None:
    """In the table, in the scores with their interval, and on the page."""
    said = {"m1": "It makes {}.", "m2": "It makes 7."}
    other.habits.answers = lambda id, _time: (
        "says " + (said[id.split(":")[1]].format(int(id[5:11])))
    )
    cases = [{"text": f"What is {n}?", "expected": n} for n in range(1, 9)]
    campaign = batchyard.evaluate(cases, ["m1", "m2"], scorer="number", **asked)
    assert [one["correct"] for one in campaign.rows()] == [True, False] * 6 + [
        True,
        True,
        True,
        False,
    ]
    first, second = campaign.scores()
    assert (first.model, first.cases, first.correct, second.correct) == ("m1", 8, 8, 1)
    assert (second.low, second.high) == interval(1, 8)
    page = read_page(campaign.report(tmp_path / "r.html").read_text())
    assert {row[0]: row[2] for row in page.rows["scores"] if row[0] in said} == {
        "m1": "8",
        "m2": "1",
    }
    assert "Scored by: number, the same" in page.text


def test_a_function_scores(other: StandIn, asked: dict[str, Any], tmp_path: Path) -> None:
    """It hears answer and row, and may abstain; what it says stays in the folder."""
    cases = [{"text": f"Case {n}", "most": 3 if n else None} for n in range(4)]
    seen: list[str] = []

    def short(answer: str, row: Any) -> bool | None:
        seen.append(answer)
        return None if row["most"] is None else len(answer) <= row["most"]

    campaign = batchyard.evaluate(cases, ["m1"], scorer=short, **asked)
    (score,) = campaign.scores()
    assert (score.cases, score.correct, score.ungraded, seen) == (3, 3, 1, ["yes"] * 4)
    opened = batchyard.RowCampaign(campaign.folder)
    assert [one.correct for one in opened.answers()] == [None, True, True, True]
    page = read_page(opened.report(tmp_path / "r.html").read_text())
    assert "Scored by: short" in page.text
    assert "1 answer without a grade is in no count" in page.text
    strange: Any = lambda _said, _row: 0.5  # noqa: E731
    with pytest.raises(TypeError, match=r"it returned 0\.5"):
        batchyard.evaluate(cases, ["m1"], scorer=strange, **asked).scores()


def test_a_judge_grades_in_a_batch_of_its_own(
    other: StandIn, asked: dict[str, Any], tmp_path: Path
) -> None:
    """With question, answer, what is expected and the rubric; killed between, nothing is lost."""
    verdict = json.dumps({"reason": "It is so.", "correct": True})
    other.habits.answers = lambda id, time: (
        f"says {id}" if time == 1 else "400" if id == "case-000002:m2" else f"says {verdict}"
    )
    cases = [{"text": "Is it?", "expected": "yes, it is"}, {"text": "Is it not?"}]
    terms = asked | {"scorer": scorers.judge("j1", "Be lenient."), "folder": "e"}
    begun = batchyard.evaluate(cases, ["m1", "m2"], **terms)
    assert batchyard.Campaign(begun.folder, "key").run() is not None
    campaign = batchyard.evaluate(cases, ["m1", "m2"], **terms)
    with pytest.raises(batchyard.IncompleteError, match="not every answer is graded"):
        campaign.report(tmp_path / "r.html")
    rows = list(campaign.rows())
    assert [(one["correct"], one["reason"]) for one in rows[:3]] == [(True, "It is so.")] * 3
    assert rows[3]["correct"] is None
    assert "not graded" in rows[3]["reason"]
    found = {one.model: (one.cases, one.correct, one.ungraded) for one in campaign.scores()}
    assert found == {"m1": (2, 2, 0), "m2": (1, 1, 1)}
    judged = [one for one in other.bodies if one["model"] == "j1"]
    assert "Be lenient." in judged[0]["messages"][0]["content"]
    asked_of_judge = "question:\nIs it?\n\nexpected:\nyes, it is\n\nanswer:\ncase-000001:m1"
    assert asked_of_judge in [one["messages"][1]["content"] for one in judged]
    batches = len(other.batches)
    again = batchyard.evaluate(cases, ["m1", "m2"], **terms)
    assert [one.correct for one in again.answers()] == [True, True, True, None]
    assert len(other.batches) == batches
    facts = facts_of(campaign.folder)
    assert (facts.scorer, facts.ungraded) == ("judge j1: Be lenient.", 1)
    assert [(one.model, one.right) for one in facts.scores] == [("m1", 2), ("m2", 1)]


@pytest.mark.parametrize(
    ("cases", "scorer", "said"),
    [
        ([{"text": "x", "right": "y"}], "exact", "no column 'expected', but text, right"),
        ([{"text": "x", "expected": "("}], "regex", "Case 1, column 'expected': '\\(' is no reg"),
        ([{"text": "x", "expected": "many"}], "number", "Case 1.*'many' is no number"),
        ([{"text": "x", "expected": "[1]"}], "json", "Case 1.* is no JSON object"),
        ([{"text": "x", "expected": "y"}], "like", "There is no scorer 'like'; there are exact"),
    ],
)
def test_what_cannot_be_scored_is_said_before(
    asked: dict[str, Any], cases: Any, scorer: Any, said: str
) -> None:
    """With the case, and before anything is submitted."""
    with pytest.raises(ValueError, match=said):
        batchyard.evaluate(cases, ["m1"], scorer=scorer, **asked)


def test_scorers_have_names() -> None:
    """As a report tells them."""
    made: list[tuple[Callable[..., Any] | str | Scorer, str]] = [
        ("contains", "contains"),
        (scorers.number(0.5, relative=0.01), "number, within 0.5 or within 1.00%"),
        (scorers.json_fields("a", "b"), "JSON fields a, b"),
        (scorers.json_fields(), "JSON fields that are expected"),
    ]
    assert [str(as_scorer(given)) for given, _ in made] == [told for _, told in made]
