"""Failed lines are counted by their cause."""

import json
from typing import Any

import pytest

from batchyard.flow.failure_counts import FailureTally, count_failures
from batchyard.flow.landing import Landing
from batchyard.places.transport import Answer, Fault
from batchyard.wire.lines import AnswerFacts
from batchyard.wire.objects import FailureCount


def refused(index: int, status: int, body: bytes) -> Landing:
    """A line that the upstream answered with an error."""
    return Landing(index, f"id-{index}", 1, Answer(status, [], body))


def error(**fields: Any) -> bytes:
    """An error as OpenAI words it."""
    return json.dumps({"error": fields}).encode()


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (404, error(code="model_not_found", message="No m."), "model_not_found", "No m."),
        (500, error(type="server_error", message="Bad."), "server_error", "Bad."),
        (400, error(code=400, type="BadRequest", message="x"), "http_400", "x"),
        (400, error(error={"code": "too_long", "message": "y"}), "too_long", "y"),
        (502, b"<html>\r\n<h1>Bad\x1b[2J Gateway", "http_502", "<html> <h1>Bad [2J Gateway"),
        (500, b"", "http_500", ""),
        (500, b'{"error": "no slot"}', "http_500", "no slot"),
        (500, b'{"error": {"message": "half \\ud83d an emoji"}}', "http_500", "half ? an emoji"),
        (500, b"[" * 70_000, "http_500", ""),
    ],
)
def test_a_cause_is_read_from_the_answer(status: int, body: bytes, code: str, message: str) -> None:
    """Whatever an upstream sends as an error: its code where it has one, and its words."""
    (cause,) = count_failures(100, [refused(4, status, body)])
    assert cause == FailureCount(
        code=code, status=status, count=1, line=105, custom_id="id-4", message=message
    )


def test_causes_are_added_up_with_their_first_line() -> None:
    """Successes do not count; what got no answer has our own code and no status."""
    timed_out = Landing(0, "id-0", 3, fault=Fault("request_timeout", "Too slow.", sent=True))
    fine = Landing(1, "id-1", 1, Answer(200, [], b"{}"), AnswerFacts())
    counted = count_failures(
        0, [refused(3, 404, error(code="a")), timed_out, fine, refused(2, 404, error(code="a"))]
    )
    assert [(one.code, one.status, one.count, one.line) for one in counted] == [
        ("a", 404, 2, 3),
        ("request_timeout", None, 1, 1),
    ]


def test_codes_without_end_take_no_memory() -> None:
    """An upstream that gives each failure a code of its own is counted as one cause."""
    tally = FailureTally()
    for index in range(200):
        tally.add([FailureCount(code=f"e{index}", status=500, count=2, line=index + 1)])
    causes = tally.most_frequent()
    assert len(causes) == 21
    assert causes[0].code == "other"
    assert sum(cause.count for cause in causes) == 400
