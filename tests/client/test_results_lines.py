"""Lines of results of any provenance."""

import json
from pathlib import Path

import pytest

from batchyard.client.results import outcomes
from batchyard.client.results.answers import ending_of
from batchyard.client.results.outcomes import is_result, read_found
from batchyard.client.results.results import facts_of, read_results, result_of
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"custom_id": "a", "response": null, "error": null}', "missing"),
        ('{"custom_id": "a", "error": null}', "missing"),
        ('{"custom_id": "a"}', None),
        (line(), None),
    ],
)
def test_a_line_that_tells_nothing_is_no_fault(text: str, expected: str | None) -> None:
    """Its request is missing, and so is asked again; a line that is no result names nobody."""
    found = read_found(text.encode(), lambda _id, _text: None, accept_cut_off=False)
    result = result_of(text.encode())
    told = None if found is None else (found.outcome, found.again)
    assert told == (None if expected is None else (expected, "same"))
    assert (None if result is None else result.outcome) == expected


@pytest.mark.parametrize(
    "text",
    [
        answer_line("a", "x"),
        fault_line("a", "rate_limit_exceeded", 429),
        fault_line("a", "batch_expired"),
        json.dumps(CAMPAIGN),
        json.dumps(CAMPAIGN | {"outcome": "of another world"}),
        json.dumps(CAMPAIGN | {"response": {"status_code": 200, "body": {"id": "\ud800"}}}),
        '{"custom_id": "a", "response": null, "error": null}',
        '{"custom_id": "a"}',
        line(),
        "oops",
        "[]",
    ],
)
def test_all_readers_read_the_same(text: str) -> None:
    """Verbs that only want to know how it ended, and those that want the result."""
    ending, result = ending_of(text.encode()), result_of(text.encode())
    assert (ending is None) == (result is None)
    if ending is not None and result is not None:
        assert ending.custom_id == result.custom_id
        assert (ending.outcome, ending.code) == (result.outcome, result.code)
        assert ending.message == result.message


def test_a_cut_off_answer_that_was_accepted_can_be_weighed_anew() -> None:
    """For whoever is not content with it any more."""
    answer = json.loads(answer_line("a", "x").replace('"stop"', '"length"'))
    text = json.dumps(CAMPAIGN | {"outcome": "succeeded", "response": answer["response"]}).encode()
    strict, lenient = ending_of(text, accept_cut_off=False), ending_of(text)
    assert strict is not None
    assert lenient is not None
    assert (strict.outcome, strict.code, lenient.outcome) == (
        "invalid_output",
        "length",
        "succeeded",
    )


PARTS = [{"type": "output_text", "text": "x"}, {"type": "output_text", "text": "y"}]
THOUGHT = {"type": "reasoning", "summary": [], "content": [{"type": "t", "text": "hm"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "x", "refusal": None}}, {"message": {"content": ""}}]},
        {"choices": [{"message": {"content": "x", "refusal": "no"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]},
        {"choices": [{"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"choices": [{"text": "x", "finish_reason": "stop"}]},
        {"choices": []},
        {"output": [THOUGHT, {"type": "message", "content": PARTS}]},
        {"output": [THOUGHT]},
        {"output": [{"type": "message", "content": []}]},
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]},
        {"output": [{"type": "function_call", "name": "f"}]},
        {"output": [], "incomplete_details": {"reason": "max_output_tokens"}},
        {"output": [{"type": "message", "content": PARTS}], "choices": [{"message": {}}]},
        {"output": [{"type": "message", "content": PARTS}], "incomplete_details": None},
        {"data": [{"embedding": [0.1, 0.2], "index": 0}]},
        {"error": {"message": "no"}},
        "<html>",
        None,
    ],
)
@pytest.mark.parametrize("status", [200, 204, 300, 500, 0])
def test_what_is_read_in_one_go_is_read_the_same(
    body: object, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way for answers in which all is well has no opinion of its own."""
    response = {"status_code": status, "request_id": "r", "body": body}
    text = json.dumps({"custom_id": "a", "response": response, "error": None}).encode()

    def read() -> tuple[object, list[str]]:
        heard: list[str] = []
        return read_found(text, lambda _, said: heard.append(said), accept_cut_off=False), heard

    short = read()
    monkeypatch.setattr(outcomes, "plain_of", lambda _line: None)
    assert short == read()


def test_bytes_that_are_no_text_are_no_answer() -> None:
    """Wherever in an answer they stand."""
    odd = answer_line("a", "x").encode().replace(b'"m1"', b'"m\xff"')
    found = read_found(odd, lambda _id, _text: None, accept_cut_off=False)
    assert found is not None
    assert (found.outcome, found.code) == ("invalid_output", "invalid_json")
    result = result_of(odd)
    assert result is not None
    assert result.body["model"] == "m\ufffd"
