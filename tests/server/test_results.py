"""Results while a batch runs and after it has ended: merged, filtered, paged, as a table."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.door import Answer, Caller
from tests.server.recorded import Running

THROTTLED = (429, {"code": "rate_limit_exceeded", "type": "requests", "message": "Slow down."})
TOO_LONG = (400, {"code": 400, "type": "BadRequestError", "message": "Too long."})
UNREACHABLE = ("upstream_unreachable", "It is down.")


def ask(caller: Caller, running: Running, what: str = "results", /, **query: object) -> Answer:
    """Ask for the results of a batch."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return caller.ask("GET", f"/v1/batches/{running.id}/{what}?{text}")


def lines_of(answer: Answer) -> list[dict[str, Any]]:
    """The lines of an answer."""
    assert answer.status == 200, answer.body
    assert answer.body[-1:] in (b"\n", b"")
    return [json.loads(line) for line in answer.body.splitlines()]


def numbers(answer: Answer) -> list[int]:
    """Which lines of the input are answered."""
    return [line["line"] for line in lines_of(answer)]


def pages(caller: Caller, running: Running, /, **query: object) -> Iterator[Answer]:
    """All that is there, page by page."""
    page = ask(caller, running, **query)
    while page.body:
        yield page
        page = ask(caller, running, **query, after=page.headers["x-next-after"])


def test_nothing_yet(caller: Caller) -> None:
    """A batch that has just begun has no results, and says that more may come."""
    answer = ask(caller, Running(caller, 2))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-incomplete"] == "true"
    assert answer.headers["content-type"] == "application/jsonl"


def test_what_is_recorded_is_shown_and_later_only_what_is_new(caller: Caller) -> None:
    """Output and error lines come together, each with its line number and otherwise as it is."""
    running = Running(caller, 6)
    running.record({2: "two", 0: "nought"}, {1: THROTTLED})
    first = ask(caller, running)
    assert sorted(numbers(first)) == [1, 2, 3]
    assert {line["custom_id"]: line["line"] for line in lines_of(first)}["c2"] == 3
    assert ask(caller, running, after=first.headers["x-next-after"]).body == b""
    running.record({5: "five"}, {4: UNREACHABLE})
    running.restart()
    running.record({3: "three"})
    second = ask(caller, running, after=first.headers["x-next-after"])
    assert sorted(numbers(second)) == [4, 5, 6]
    running.step()
    third = ask(caller, running, after=second.headers["x-next-after"])
    assert (third.body, third.headers["x-incomplete"]) == (b"", "false")
    assert sorted(numbers(ask(caller, running))) == [1, 2, 3, 4, 5, 6]


def test_lines_are_those_of_the_files(caller: Caller) -> None:
    """But for the line number, byte for byte."""
    running = Running(caller, 2)
    running.record({0: "grün"}, {1: TOO_LONG})
    running.step()
    batch = caller.ask("GET", f"/v1/batches/{running.id}").json
    files = [batch["output_file_id"], batch["error_file_id"]]
    kept = b"".join(caller.ask("GET", f"/v1/files/{id}/content").body for id in files)
    merged = ask(caller, running).body
    assert merged.replace(b',"line":1}\n', b"}\n").replace(b',"line":2}\n', b"}\n") == kept


def test_pages_are_no_longer_than_asked(caller: Caller) -> None:
    """Page by page everything comes once, whatever the limit."""
    running = Running(caller, 9)
    running.record({number: "x" * number for number in range(0, 9, 2)}, {1: THROTTLED})
    running.restart()
    running.record({3: "y"}, {5: TOO_LONG, 7: UNREACHABLE})
    running.step()
    for limit in (1, 2, 4, 9, 100):
        found = [numbers(page) for page in pages(caller, running, limit=limit)]
        assert all(len(page) <= limit for page in found)
        assert sorted(itertools.chain(*found)) == list(range(1, 10))


def test_lines_are_filtered(caller: Caller) -> None:
    """By how they ended, and by any name of their fault; a limit counts what is wanted."""
    running = Running(caller, 6)
    running.record({0: "a", 1: "b"}, {2: THROTTLED, 3: TOO_LONG, 4: UNREACHABLE})
    assert numbers(ask(caller, running, status="succeeded")) == [1, 2]
    assert numbers(ask(caller, running, status="errored")) == [3, 4, 5]
    assert numbers(ask(caller, running, code="rate_limit_exceeded")) == [3]
    assert numbers(ask(caller, running, code="429,upstream_unreachable")) == [3, 5]
    assert numbers(ask(caller, running, code="BadRequestError", status="errored")) == [4]
    assert numbers(ask(caller, running, code="429", status="succeeded")) == []
    found = [numbers(page) for page in pages(caller, running, status="errored", limit=2)]
    assert found == [[3, 4], [5]]
    running.release()
    assert caller.post(f"/v1/batches/{running.id}/cancel", {}).status == 200
    running.step()
    assert numbers(ask(caller, running, status="cancelled")) == [6]
    assert sorted(numbers(ask(caller, running, status="cancelled,succeeded"))) == [1, 2, 6]
    assert numbers(ask(caller, running, code="batch_cancelled")) == [6]


def test_results_come_as_a_table(caller: Caller) -> None:
    """One row for each line, with the text of its answer or what went wrong."""
    running = Running(caller, 3)
    running.record({0: 'says "so",\nthen stops'}, {1: THROTTLED, 2: UNREACHABLE})
    answer = ask(caller, running, format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert rows[0] == {
        "line": "1",
        "custom_id": "c0",
        "status": "succeeded",
        "status_code": "200",
        "code": "",
        "message": "",
        "content": 'says "so",\nthen stops',
        "input_tokens": "3",
        "output_tokens": "2",
    }
    assert [(row["code"], row["message"], row["status_code"]) for row in rows[1:]] == [
        ("rate_limit_exceeded", "Slow down.", "429"),
        ("upstream_unreachable", "It is down.", ""),
    ]
    later = ask(caller, running, format="csv", after=answer.headers["x-next-after"])
    assert later.body == b""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "a=1", ""])
def test_cells_are_formulas_only_where_that_is_wanted(caller: Caller, text: str) -> None:
    """As they were answered, or with an apostrophe before what a spreadsheet would compute."""
    running = Running(caller, 2)
    running.record({0: text}, {1: (400, {"code": "=c", "message": "=m"})})
    for safe in ("0", "1"):
        answer = ask(caller, running, format="csv", safe=safe)
        rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        mark = "'" if safe == "1" and text[:1] in tuple("=+-@\t\r") else ""
        assert rows[0]["content"] == mark + text
        assert (rows[1]["code"], rows[1]["message"]) == (
            ("'=c", "'=m") if safe == "1" else ("=c", "=m")
        )


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("safe=yes", "safe"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("status=good", "status"),
        ("format=xml", "format"),
        ("after=batch_req_1", "after"),
        ("after=at_000000000000.5", "after"),
        ("after=at&after=at", "after"),
    ],
)
def test_what_is_wrong_is_named(caller: Caller, query: str, param: str) -> None:
    """Parameters that mean nothing are refused, not guessed."""
    running = Running(caller, 1)
    answer = caller.ask("GET", f"/v1/batches/{running.id}/results?{query}")
    assert (answer.error[0], answer.error[2]) == (400, param)


def test_a_cursor_within_a_line_is_refused(caller: Caller) -> None:
    """Nobody gets half a line, whoever makes up a cursor."""
    running = Running(caller, 2)
    running.record({0: "a"})
    after = ask(caller, running).headers["x-next-after"]
    name, _, offset = after.rpartition(".")
    for wrong in (int(offset, 16) - 1, int(offset, 16) + 1):
        assert ask(caller, running, after=f"{name}.{wrong:x}").status == 400


def test_results_of_others_are_not_there(caller: Caller) -> None:
    """Another project's batch is answered like one that never was."""
    running = Running(caller, 1)
    other = caller.door.caller()
    for what in ("results", "output", "errors"):
        missing = other.ask("GET", f"/v1/batches/batch_none/{what}").body
        found = ask(other, running, what)
        assert found.status == 404
        assert found.body.replace(running.id.encode(), b"batch_none") == missing


def test_deleted_results_are_missing_files(caller: Caller) -> None:
    """Whose output was deleted is told so by its id."""
    running = Running(caller, 1)
    running.record({0: "a"})
    running.step()
    id = caller.ask("GET", f"/v1/batches/{running.id}").json["output_file_id"]
    assert caller.ask("DELETE", f"/v1/files/{id}").status == 200
    assert id in ask(caller, running).json["error"]["message"]
    assert ask(caller, running, "output").status == 404
    assert ask(caller, running, "errors").body == b""


def test_the_output_grows_by_whole_lines(caller: Caller) -> None:
    """Who counts bytes gets each byte once, from the first answer to the end of the batch."""
    running = Running(caller, 3)
    first = ask(caller, running, "output")
    assert (first.body, first.headers["x-last-line"]) == (b"", "0")
    running.record({0: "a"}, {1: THROTTLED})
    second = ask(caller, running, "output", offset=first.headers["x-next-offset"])
    assert (len(lines_of(second)), second.headers["x-last-line"]) == (1, "1")
    assert second.headers["x-incomplete"] == "true"
    assert second.headers["x-next-offset"] == str(len(second.body))
    running.record({2: "b"})
    running.step()
    third = ask(caller, running, "output", offset=len(second.body))
    assert (third.headers["x-incomplete"], third.headers["x-last-line"]) == ("false", "2")
    id = caller.ask("GET", f"/v1/batches/{running.id}").json["output_file_id"]
    assert caller.ask("GET", f"/v1/files/{id}/content").body == second.body + third.body
    failed = ask(caller, running, "errors")
    assert [line["custom_id"] for line in lines_of(failed)] == ["c1"]
    assert ask(caller, running, "output", offset=10**9).error == (400, "invalid_value", "offset")


def test_the_output_of_several_workers_has_a_mark_for_each(caller: Caller) -> None:
    """Then a count of bytes could mean two things: the mark that was given goes on."""
    running = Running(caller, 4)
    running.record({0: "a"})
    first = ask(caller, running, "output")
    running.restart()
    running.record({1: "b"})
    second = ask(caller, running, "output", offset=first.headers["x-next-offset"])
    assert [line["custom_id"] for line in lines_of(second)] == ["c1"]
    both = len(first.body) + len(second.body)
    assert ask(caller, running, "output", offset=both).error == (400, "invalid_value", "offset")
    running.record({2: "c", 3: "d"})
    running.step()
    third = ask(caller, running, "output", offset=second.headers["x-next-offset"])
    assert [line["custom_id"] for line in lines_of(third)] == ["c2", "c3"]
    assert third.headers["x-incomplete"] == "false"


def test_half_a_character_in_an_answer_is_shown(caller: Caller) -> None:
    """JSON allows it, models send it, and neither form of results stumbles over it."""
    running = Running(caller, 2)
    running.record({1: "\ud800"}, {0: (400, {"code": "\ud800", "message": "\ud800"})})
    assert sorted(numbers(ask(caller, running))) == [1, 2]
    assert numbers(ask(caller, running, status="errored")) == [1]
    assert b"?" in ask(caller, running, format="csv").body
