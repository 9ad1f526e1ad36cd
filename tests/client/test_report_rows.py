"""The report on campaigns that one-liners made of rows, and its door in the library."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import batchyard
from batchyard.client.report.golds import ByKey
from batchyard.client.report.tallies import Sample, Spreading, Tally, Timeline
from tests.client.pages import read_page

LABELS = ["early", "late"]
ROWS = [{"text": f"letter {n % 20}", "right": LABELS[n % 2]} for n in range(24)]
Asked = Callable[..., dict[str, Any]]


def test_rows_are_counted_as_rows(asked: Asked, tmp_path: Path) -> None:
    """A row whose answer another row or another campaign has is counted, its tokens only once."""
    campaign = batchyard.classify(ROWS, LABELS, **asked(model="m1"))
    assert campaign.run()
    page = read_page(campaign.report(tmp_path / "r.html", gold="right").read_text())
    assert page.numbers("outcomes")["Succeeded"] == 24
    assert sum(page.numbers("labels").values()) == 24
    assert "20 asked by themselves, 4 answered by a row that asks the same" in page.text
    right = sum(one["label"] == one["right"] for one in campaign.rows())
    assert f"{right} of 24 results have the gold label in “label”" in page.text
    assert page.numbers("cost", 4)["All"] == campaign.tally().output_tokens

    again = batchyard.classify(ROWS[:10], LABELS, **asked(model="m1"))
    assert again.run()
    page = read_page(again.report(tmp_path / "again.html").read_text())
    assert page.numbers("outcomes")["Succeeded"] == 10
    assert "10 answered by an earlier campaign" in page.text


def test_models_are_compared(asked: Asked, tmp_path: Path) -> None:
    """Of `evaluate` the page tells how many answers of each model are right."""
    campaign = batchyard.evaluate(
        ROWS[:8], ["m1", "m2"], expected="right", labels=LABELS, **asked()
    )
    assert campaign.run()
    page = read_page(campaign.report(tmp_path / "r.html").read_text())
    told = {row[0]: int(row[2]) for row in page.rows["agreement"] if row[0] in ("m1", "m2")}
    assert told == {one.model: one.correct for one in campaign.scores()}


def test_free_texts_are_compared_too(asked: Asked, tmp_path: Path) -> None:
    """Where there are no labels: as many are right as `scores()` says, and no matrix is drawn."""
    cases = [{"text": f"{n}", "right": f"Answer {n}"} for n in range(6)]
    campaign = batchyard.evaluate(cases, ["m1", "m2"], expected="right", **asked())
    assert campaign.run()
    page = read_page(campaign.report(tmp_path / "r.html").read_text())
    correct = sum(one.correct for one in campaign.scores())
    assert f"{correct} of 12 results have the gold label" in page.text
    assert "Confusion matrix" not in page.text
    with pytest.raises(ValueError, match="'wrong'"):
        campaign.report(tmp_path / "r.html", gold="wrong")


def test_a_campaign_under_way_has_no_report(asked: Asked, tmp_path: Path) -> None:
    """There is an error, and no page."""
    campaign = batchyard.classify(ROWS, LABELS, **asked(model="m1"))
    with pytest.raises(batchyard.IncompleteError):
        campaign.report(tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_gathering_holds_no_more_for_more_results() -> None:
    """Values, samples, stretches of time and labels ahead of their turn are bounded."""
    tally, spreading, timeline = Tally(), Spreading(Random(1)), Timeline()
    sample: Sample[int] = Sample(5, Random(1))
    for number in range(20_000):
        tally.add(f"{number}")
        spreading.add(number)
        timeline.add(number * 1_000)
        sample.add(number)
    assert (len(tally.counts), tally.total) == (64, 20_000)
    spread = spreading.spread()
    assert spread is not None
    assert (spread.sampled, spread.least, spread.most) == (4_096, 0, 19_999)
    assert abs(spread.p50 - 10_000) < 1_000
    _, counts = timeline.slots()
    assert (sum(counts), len(counts) <= 90) == (20_000, True)
    assert (len(sample.kept), sample.seen) == (5, 20_000)
    known = ByKey((f"a{number}", "x") for number in range(20_000))
    assert {known.of(f"a{number}") for number in range(20_000)} == {"x"}
    assert known.held == 0
