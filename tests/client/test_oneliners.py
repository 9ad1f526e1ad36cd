"""One-liners against our own server, in strict, before a simulated upstream."""

from collections.abc import Callable
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any

import polars
import pytest
from pydantic import BaseModel

import batchyard
from batchyard.client.building.writing import DuplicateIdError
from batchyard.client.campaigns.beginning import OtherInputError
from batchyard.client.tabular.canary import CanaryError
from batchyard.client.tabular.preview import OverBudgetError
from tests.cli.calling import call
from tests.client.conftest import Strict
from tests.client.stand_in import StandIn

LABELS = ["about the client", "about the server"]
ROWS = [{"code": one.value, "text": one.phrase} for one in HTTPStatus]
ROWS = [*ROWS[:12], {"code": 1, "text": ROWS[0]["text"]}]


def test_each_row_gets_its_label_and_the_same_is_asked_once(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """In the order of the rows; a row that asks the same as another has its answer."""
    campaign = batchyard.classify(ROWS, LABELS, id="code", **asked(model="m1"))
    assert campaign.run() == {**dict.fromkeys(campaign.counts or (), 0), "succeeded": 13}
    rows = list(campaign.rows())
    assert [(one["code"], one["text"]) for one in rows] == [
        (one["code"], one["text"]) for one in ROWS
    ]
    assert {one["label"] for one in rows} <= set(LABELS)
    assert rows[12]["label"] == rows[0]["label"]
    assert strict.sim.served().total() == 12
    assert campaign.tally().sources == {"asked": 12, "same": 1}
    spent = sum(one["input_tokens"] for one in rows)
    assert spent == campaign.tally().input_tokens > 0 == rows[12]["input_tokens"]


def test_a_frame_gets_its_labels_as_a_column(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """What came as a frame goes back as one; its own columns stay as they are."""
    frame = polars.DataFrame(ROWS, schema_overrides={"code": polars.Int16})
    found = batchyard.classify(frame, LABELS, id="code", **asked(model="m1")).add_to(frame)
    assert found.select(frame.columns).equals(frame)
    assert set(found["label"]) <= set(LABELS)
    assert found.schema["input_tokens"] == polars.Int64
    assert strict.sim.served().total() == 12


def test_the_same_call_again_is_the_same_campaign(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """As when the cell of a notebook is run again."""
    for _ in range(2):
        campaign = batchyard.generate(ROWS[:3], "What is {text}?", **asked(model="m1"))
        assert [one.outcome for one in campaign.answers()] == ["succeeded"] * 3
    assert strict.sim.served().total() == 3
    assert len(list(Path(".batchyard").iterdir())) == 1


def test_what_was_answered_before_is_not_asked_again(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """Across campaigns, unless one says so; all of it known is no fault."""
    prompt = "Explain {text}"
    first = batchyard.generate(ROWS[:4], prompt, **asked(model="m1"))
    before = [one.value for one in first.answers()]
    more = batchyard.generate(ROWS[2:6], prompt, **asked(model="m1"))
    assert [one.value for one in more.answers()][:2] == before[2:]
    assert more.tally().sources == {"cache": 2, "asked": 2}
    known = batchyard.generate(ROWS[1:5], prompt, **asked(model="m1"))
    assert known.run() == {**dict.fromkeys(known.counts or (), 0), "succeeded": 4}
    assert known.tally().sources == {"cache": 4}
    assert (known.tally().input_tokens, strict.sim.served().total()) == (0, 6)
    again = batchyard.generate(ROWS[:2], prompt, **asked(model="m1", cache=False))
    assert again.run()
    assert again.tally().sources == {"asked": 2}


def test_rows_may_all_be_asked(strict: Strict, asked: Callable[..., dict[str, Any]]) -> None:
    """With `dedupe=False`, as for several answers to the same question."""
    campaign = batchyard.generate(["heads or tails?"] * 3, **asked(model="m1", dedupe=False))
    assert campaign.run()
    assert campaign.tally().sources == {"asked": 3}
    assert strict.sim.served().total() == 3


def test_a_dry_run_shows_and_submits_nothing(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """The first requests, the plan and the price; a changed question takes its place."""
    shown: list[str] = []
    Path("batchyard.toml").write_text('[[price]]\nmodel = "m1"\ninput = 10\noutput = 1000\n')
    before = len(list(strict.openai.batches.list()))
    for labels in (["a", "b"], ["a", "b", "c"]):
        terms = asked(model="m1", id="code", folder="c", dry_run=True, show=shown.append)
        batchyard.classify(ROWS, labels, **terms)
    assert "13 rows, 12 distinct requests, 0 of them answered before" in shown[1]
    assert "[100] /v1/chat/completions m1" in shown[1]
    assert "- c" in shown[1]
    assert "plan: 1 batch, " in shown[1]
    assert "price: $0.25" in shown[1]
    with pytest.raises(OverBudgetError):
        batchyard.classify(ROWS, labels, max_usd=0.01, **asked(model="m1", folder="c"))
    assert (len(list(strict.openai.batches.list())), strict.sim.served().total()) == (before, 0)
    campaign = batchyard.classify(ROWS, labels, max_usd=50, **asked(model="m1", folder="c"))
    assert campaign.run()
    tally, costs = campaign.tally(), [one["cost_usd"] for one in campaign.rows()]
    dollars = (10 * tally.input_tokens + 1000 * tally.output_tokens) / 10**6
    assert sum(costs) == pytest.approx(dollars)
    terms = asked(model="m1", id="code", folder="c", dry_run=True, show=shown.append)
    with pytest.raises(OtherInputError):
        batchyard.classify(ROWS, labels, **terms)
    terms.pop("id")
    batchyard.classify(ROWS, labels, **terms)
    assert shown[-1].startswith("These rows are under way already: <Campaign")
    assert costs[12] == 0
    assert campaign.bill().usd == pytest.approx(dollars)
    with pytest.raises(OtherInputError):
        batchyard.classify(ROWS, ["d", "e"], **asked(model="m1", folder="c"))


def test_a_canary_is_asked_first_and_not_again(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """A server that has batches only answers the sample as a batch."""
    shown: list[str] = []
    campaign = batchyard.generate(
        ROWS[:12], "Define {text}", canary=4, **asked(model="m1", id="code", show=shown.append)
    )
    assert campaign.run()
    assert shown[0].startswith("canary: 4 requests\n  [100] Simulated answer")
    assert campaign.tally().sources == {"canary": 4, "asked": 8}
    assert strict.sim.served().total() == 12


def test_a_canary_that_fails_stops_the_rest(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """Nothing is submitted, and no folder is left behind."""
    strict.sim.set("faults", "400:1")
    with pytest.raises(CanaryError):
        batchyard.generate(
            ROWS, "Describe {text}", canary=2, **asked(model="m1", id="code", show=[].append)
        )
    assert list(Path(".batchyard").iterdir()) == []


def test_rows_that_fail_say_why(strict: Strict, asked: Callable[..., dict[str, Any]]) -> None:
    """Each row has one outcome; failures are not kept for later."""
    strict.sim.set("faults", "400:0.5")
    campaign = batchyard.generate(ROWS, "Doubt {text}", **asked(model="m1", id="code"))
    counts = campaign.run()
    assert counts is not None
    failed = [one for one in campaign.answers() if one.outcome == "errored"]
    assert (counts["errored"], sum(counts.values())) == (len(failed), 13)
    assert failed
    assert all(one.error and one.value is None for one in failed)
    strict.sim.calm()
    again = batchyard.generate(ROWS[:12], "Doubt {text}", **asked(model="m1", id="code"))
    assert again.run()
    assert strict.sim.served().total() == again.tally().sources["asked"] > 0


class Place(BaseModel):
    """Where something is."""

    city: str
    floor: int


class Finding(BaseModel):
    """What a text says."""

    code: int
    words: list[str]
    place: Place


def test_a_model_comes_back_as_columns_and_as_itself(
    asked: Callable[..., dict[str, Any]],
) -> None:
    """Its fields beside the row's own, of which none is lost."""
    campaign = batchyard.extract(ROWS[:3], Finding, text="{code} {text}", **asked(model="m1"))
    found = [one.value for one in campaign.answers()]
    assert all(isinstance(one, Finding) for one in found)
    row = next(campaign.rows())
    assert (row["code"], row["answer_code"]) == (100, found[0].code)
    assert (row["words"], row["place_city"]) == (found[0].words, found[0].place.city)


def test_texts_become_vectors_in_their_order(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """Many in one line; the same text has the same vector and is asked once."""
    texts = ["one", "two", "one", "three"]
    first = batchyard.embed(texts, **asked(model="m1", dimensions=8))
    vectors = [one.value for one in first.answers()]
    assert [len(one) for one in vectors] == [8] * 4
    assert vectors[0] == vectors[2] != vectors[1]
    more = batchyard.embed(["four", "three"], **asked(model="m1", dimensions=8))
    assert [one.value for one in more.answers()][1] == vectors[3]
    assert first.tally().sources == {"asked": 3, "same": 1}
    assert more.tally().sources == {"asked": 1, "cache": 1}
    assert strict.sim.served().total() == 2


def test_models_are_held_against_expected_answers(asked: Callable[..., dict[str, Any]]) -> None:
    """A row for each case and model, and a score for each model."""
    cases = [{"text": f"Is {n} even?", "expected": "yes" if n % 2 == 0 else "no"} for n in range(8)]
    campaign = batchyard.evaluate(cases, ["m1", "m2"], labels=["yes", "no"], **asked())
    rows = list(campaign.rows())
    assert [(one["case"], one["model"]) for one in rows[:3]] == [
        ("case-000001", "m1"),
        ("case-000001", "m2"),
        ("case-000002", "m1"),
    ]
    assert all(one["correct"] == (one["answer"] == one["expected"]) for one in rows)
    for score in campaign.scores():
        right = sum(one["correct"] for one in rows if one["model"] == score.model)
        assert (score.cases, score.answered, score.correct) == (8, 8, right)
        assert score.low <= score.share <= score.high


def test_translations_stand_beside_their_texts(asked: Callable[..., dict[str, Any]]) -> None:
    """In a column of their own."""
    campaign = batchyard.translate(["Good morning"], "German", **asked(model="m1"))
    row = next(campaign.rows())
    assert (row["text"], row["outcome"]) == ("Good morning", "succeeded")
    assert row["translation"]


async def test_a_notebook_has_a_loop_already(asked: Callable[..., dict[str, Any]]) -> None:
    """The one-liners work there too."""
    campaign = batchyard.generate(["hello"], canary=1, **asked(model="m1", show=[].append))
    assert [one.outcome for one in campaign.answers()] == ["succeeded"]


@pytest.mark.parametrize(
    ("rows", "terms", "said"),
    [
        ([], {}, "no rows"),
        ([{"a": 1, "b": 2}], {}, "Say with text="),
        ([{"a": 1}], {"text": "b"}, "no column 'b'"),
        (["x"], {"to": "nowhere"}, "'nowhere' is no URL"),
    ],
)
def test_what_cannot_be_asked_is_said(
    asked: Callable[..., dict[str, Any]], rows: list[Any], terms: dict[str, Any], said: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=said):
        batchyard.classify(rows, LABELS, **asked(model="m1", **terms))
    assert not Path(".batchyard").exists() or not list(Path(".batchyard").iterdir())


def test_a_file_goes_in_and_another_comes_out(asked: Callable[..., dict[str, Any]]) -> None:
    """Its columns come back as they were, in its order, with those of the answers."""
    Path("in.csv").write_text("id;title\n007;Two\n001;One\n")
    campaign = batchyard.classify("in.csv", LABELS, id="id", text="title", **asked(model="m1"))
    lines = campaign.to("out.csv").read_text().splitlines()
    assert lines[0].startswith("id,title,label,custom_id,outcome,error,source,")
    assert [line.split(",")[0] for line in lines[1:]] == ["007", "001"]


def test_rows_without_a_text_are_not_asked(
    strict: Strict, asked: Callable[..., dict[str, Any]]
) -> None:
    """They are in the table with their outcome, as all rows are."""
    texts = ["one", "", "two", "  "]
    for campaign in (
        batchyard.embed(texts, **asked(model="m1")),
        batchyard.classify(texts, LABELS, **asked(model="m1")),
    ):
        rows = list(campaign.rows())
        assert [one["outcome"] for one in rows] == ["succeeded", "errored"] * 2
        assert (rows[1]["error"], rows[1]["source"]) == ("The row has no text.", "none")
        assert campaign.tally().sources == {"asked": 2, "none": 2}
    empty = batchyard.classify(["", " "], LABELS, **asked(model="m1"))
    assert empty.run() == {**dict.fromkeys(empty.counts or (), 0), "errored": 2}
    assert strict.sim.served().total() == 3


def test_a_folder_is_opened_with_what_it_asks(asked: Callable[..., dict[str, Any]]) -> None:
    """Rows, answers and counts are there without the call that made them."""
    campaign = batchyard.classify(["one", "two"], LABELS, **asked(model="m1"))
    campaign.run()
    again = batchyard.RowCampaign(campaign.folder)
    assert list(again.rows()) == list(campaign.rows())
    assert call("watch", campaign.folder).exit_code == 0


def test_a_frame_gets_its_answers_as_columns(asked: Callable[..., dict[str, Any]]) -> None:
    """It stays what it was, with the types it had; a file of it has them too."""
    days = [date(2026, 11, 21), None]
    frame = polars.DataFrame({"day": days, "error": ["late", "broken"]})
    campaign = batchyard.classify(frame, LABELS, text="error", **asked(model="m1"))
    labelled = campaign.add_to(frame)
    assert labelled["day"].to_list() == days
    assert labelled["error"].to_list() == ["late", "broken"]
    assert set(labelled["label"]) <= set(LABELS)
    assert labelled["answer_error"].dtype == polars.String
    found = polars.read_parquet(campaign.to("out.parquet"))
    assert found["day"].to_list() == days
    assert [str(found[name].dtype) for name in ("answer_error", "cost_usd")] == [
        "String",
        "Float64",
    ]


def test_what_is_no_label_is_asked_again_and_then_told(
    asked: Callable[..., dict[str, Any]],
) -> None:
    """A server that answers `yes` to everything, whatever the schema says."""
    other = StandIn()
    terms = asked(model="m1", to=other.url)
    refused = batchyard.classify(["one", "two"], LABELS, **terms)
    assert refused.run() == {**dict.fromkeys(refused.counts or (), 0), "invalid_output": 2}
    assert {len(one.attempts) for one in refused.results()} == {3}
    assert all(one.value is None and one.error for one in refused.answers())
    terms["response_format"] = {"type": "text"}
    taken = batchyard.classify(["one", "two"], ["Yes", "No"], **terms)
    assert [one.value for one in taken.answers()] == ["Yes", "Yes"]
    other.close()


def test_two_rows_may_not_have_one_name(asked: Callable[..., dict[str, Any]]) -> None:
    """Answers could not go back to them."""
    with pytest.raises(DuplicateIdError):
        batchyard.classify([*ROWS, ROWS[0]], LABELS, **asked(model="m1", id="code"))
