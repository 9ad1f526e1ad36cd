"""Lines of results of any provenance."""

import json
from pathlib import Path

import pytest

from batchyard.client.results.results import facts_of, is_result, read_results, result_of
from tests.client.lines import answer_line, fault_line, line

CAMPAIGN = {
    "line": 3,
    "custom_id": "a",
    "outcome": "missing",
    "response": None,
    "error": {"code": "missing", "message": ""},
    "attempts": [{"batch_id": "batch_1", "outcome": "missing", "code": "missing", "message": ""}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (answer_line("a", "x"), True),
        (fault_line("a", "batch_expired"), True),
        (json.dumps(CAMPAIGN), True),
        ('{"custom_id": "a", "response": null, "error": null}', True),
        (line(), False),
        ("oops", False),
    ],
)
def test_results_are_told_from_requests(text: str, expected: bool) -> None:
    """By what a line has, not by the name of its file."""
    assert is_result(text.encode()) is expected


def test_each_kind_becomes_a_result() -> None:
    """Answers, faults, and the lines of campaigns, which know best."""
    answer = result_of(answer_line("a", "x", usage=(3, 4)).encode(), 7)
    fault = result_of(fault_line("b", "rate_limit_exceeded", 429).encode())
    merged = result_of(json.dumps(CAMPAIGN).encode())
    assert answer is not None and fault is not None and merged is not None
    facts = facts_of(answer)
    assert facts is not None
    assert (answer.line, answer.text, facts.output_tokens) == (7, "x", 4)
    assert (fault.outcome, fault.code, facts_of(fault) is None) == (
        "errored",
        "rate_limit_exceeded",
        False,
    )
    assert (merged.outcome, merged.attempts[0].batch_id) == ("missing", "batch_1")
    assert result_of(line().encode()) is None


def test_lone_surrogates_are_read(tmp_path: Path) -> None:
    """Models emit them, JSON allows them; they cost nobody the rest of a file."""
    text = answer_line("a", "\ud800")
    found = result_of(text.encode())
    assert found is not None
    assert found.text == "\ud800"
    whole = CAMPAIGN | {"outcome": "succeeded", "response": json.loads(text)["response"]}
    (tmp_path / "results.jsonl").write_text(json.dumps(whole) + "\n")
    again = result_of(json.dumps(whole).encode())
    assert again is not None
    assert again.attempts[0].batch_id == "batch_1"
    (read,) = read_results(tmp_path / "results.jsonl")
    assert (read.text, read.line, read.attempts[0].batch_id) == ("\ud800", 3, "batch_1")
