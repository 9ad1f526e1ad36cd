"""Answers go back to the rows they belong to, in their order, as columns."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars
import pytest
from pydantic import BaseModel

from batchyard.client.building import build
from batchyard.client.tables import TableError, add_answers, join, rows_of, table_of, write_table
from batchyard.wire.money import Price, picodollars

USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
ROWS = [{"id": f"r{number}", "text": f"text {number}"} for number in range(4)]
PRICE = Price(input=picodollars(2), cached=picodollars(1), output=picodollars(10), source="test")


class Place(BaseModel):
    """What stands where."""

    city: str
    scores: dict[str, float]


class Verdict(BaseModel):
    """An answer with an inner record, a date and a list."""

    label: str
    day: date
    tags: list[str]
    place: Place | None


def line(id: str, content: str, **more: Any) -> dict[str, Any]:
    """A line of an output file."""
    body = {
        "model": "m1",
        "choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        ],
        "usage": USAGE,
    }
    return {"id": "x", "custom_id": id, "response": {"status_code": 200, "body": body}, **more}


def failed(id: str, code: str = "batch_expired") -> dict[str, Any]:
    """A line of an error file."""
    return {"custom_id": id, "response": None, "error": {"code": code, "message": "Too late."}}


def campaign(path: Path, lines: Sequence[dict[str, Any]], outcomes: Sequence[str] = ()) -> Path:
    """A file of results as campaigns write them."""
    with path.open("w") as out:
        for number, one in enumerate(lines, 1):
            outcome = "succeeded" if one["response"] else "expired"
            error = one.get("error") or {"code": "", "message": ""}
            attempts = [{"batch_id": "b", "outcome": outcome, **error}]
            told = {"line": number, "outcome": outcome, "attempts": attempts}
            out.write(json.dumps(told | {"error": None} | one) + "\n")
    return path


def test_each_row_has_its_answer_beside_it(tmp_path: Path) -> None:
    """Columns of the row come first; outcome, error, tokens and dollars follow the answer."""
    results = campaign(
        tmp_path / "results.jsonl",
        [line("r0", "good"), failed("r1"), line("r2", "lone \ud800"), line("r3", "")],
    )
    joined = list(join(ROWS, results, price_of=lambda model: PRICE if model == "m1" else None))
    assert joined[0] == {
        "id": "r0",
        "text": "text 0",
        "answer": "good",
        "outcome": "succeeded",
        "error": None,
        "input_tokens": 10,
        "output_tokens": 3,
        "cost_usd": 0.00005,
    }
    assert joined[1] == {
        "id": "r1",
        "text": "text 1",
        "answer": None,
        "outcome": "expired",
        "error": "batch_expired: Too late.",
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
    }
    assert [row["answer"] for row in joined[2:]] == ["lone \ud800", ""]


def test_what_has_no_text_is_told_as_json(tmp_path: Path) -> None:
    """Calls of tools are not lost; texts of other endpoints are texts."""
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    bodies: list[dict[str, Any]] = [
        {"choices": [{"message": calls}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "said"}]}]},
        {"choices": [{"text": "completed"}]},
        {"choices": []},
    ]
    lines = [
        {"custom_id": f"r{one}", "response": {"status_code": 200, "body": body}}
        for one, body in enumerate(bodies)
    ]
    joined = list(join(ROWS, campaign(tmp_path / "results.jsonl", lines)))
    assert json.loads(joined[0]["answer"]) == calls
    assert [row["answer"] for row in joined[1:3]] == ["said", "completed"]
    assert json.loads(joined[3]["answer"]) == {"choices": []}


@pytest.mark.parametrize("count", [3, 5])
def test_results_of_other_rows_are_refused(tmp_path: Path, count: int) -> None:
    """Too few or too many results for the rows raise, and no file comes to be."""
    results = campaign(tmp_path / "results.jsonl", [line(f"r{one}", "x") for one in range(count)])
    with pytest.raises(TableError, match="not the rows that were asked"):
        write_table(join(ROWS, results), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_a_shape_becomes_columns(tmp_path: Path) -> None:
    """Fields of a model are columns with their types; an answer that does not fit says so."""
    fine: dict[str, Any] = {"label": "a", "day": "2026-11-21", "tags": ["x"]}
    place = {"city": "Bern", "scores": {"b": 1.5}}
    answers = [fine | {"place": place}, fine | {"place": None}, {"label": 1}]
    lines = [line(f"r{one}", json.dumps(answer)) for one, answer in enumerate(answers)]
    results = campaign(tmp_path / "results.jsonl", [*lines, failed("r3")])
    path = tmp_path / "t.parquet"
    write_table(join(ROWS, results, shape=Verdict), path)
    names = ["label", "day", "tags", "place_city", "place_scores"]
    joined = list(rows_of(path))
    assert list(joined[0])[2:8] == [*names, "outcome"]
    assert [joined[0][name] for name in names] == [
        "a",
        date(2026, 11, 21),
        ["x"],
        "Bern",
        {"b": 1.5},
    ]
    assert [joined[1][name] for name in names] == ["a", date(2026, 11, 21), ["x"], None, None]
    assert [row["outcome"] for row in joined] == ["succeeded"] * 2 + ["invalid_output", "expired"]
    assert "label" in joined[2]["error"]
    schema = Verdict.model_json_schema()
    assert next(join(ROWS, results, shape=schema).rows())["day"] == "2026-11-21"


def test_columns_that_rows_have_already_are_kept(tmp_path: Path) -> None:
    """Nothing of a row is written over; the answer's columns get other names."""
    rows: list[dict[str, Any]] = [
        {"error": "mine", "answer": "too", "answer_answer": 1},
        {"error": "x"},
    ]
    results = campaign(tmp_path / "results.jsonl", [line("r0", "good"), line("r1", "bad")])
    found = list(join(rows, results).rows())
    assert found[0] | rows[0] == found[0]
    assert found[0]["answer_answer_answer"] == "good"
    assert list(join(rows[1:] * 2, results, prefix="gpt_").rows())[1]["gpt_answer"] == "bad"
    with pytest.raises(TableError, match="column 'answer' that the first has not"):
        list(join(rows[::-1], results).rows())


def test_files_of_a_provider_are_joined_by_key(tmp_path: Path) -> None:
    """Output and error files in any order, of any Batch API, by the columns of the custom_id."""
    output, errors = tmp_path / "output.jsonl", tmp_path / "errors.jsonl"
    output.write_text("".join(json.dumps(line(f"r{one}", f"a{one}")) + "\n" for one in (0, 3, 2)))
    errors.write_text(json.dumps(failed("other")) + "\n")
    joined = list(join([*ROWS, {"id": "other", "text": ""}], [output, errors], key="id").rows())
    assert [row["answer"] for row in joined] == ["a0", None, "a2", "a3", None]
    assert [row["outcome"] for row in joined] == [
        "succeeded",
        "missing",
        "succeeded",
        "succeeded",
        "expired",
    ]
    by_call = join(ROWS, [output, errors], key=lambda row: row["id"])
    assert [row["answer"] for row in by_call.rows()] == ["a0", None, "a2", "a3"]
    with pytest.raises(TableError, match="want a key"):
        list(join(ROWS, [output, errors]).rows())


def test_packed_vectors_go_to_their_rows(tmp_path: Path) -> None:
    """Many texts in a line are as many rows; tokens of the line are shared out exactly."""
    packed = list(build.pack((row["text"] for row in ROWS), model="m1", per_line=3))
    lines: list[dict[str, Any]] = []
    for one in packed:
        count = len(one.body["input"])
        vectors = [{"index": index, "embedding": [index, 0.5]} for index in range(count)]
        body = {"data": vectors[::-1], "usage": {"prompt_tokens": 10, "total_tokens": 10}}
        response = {"status_code": 200, "body": body}
        lines.append({"custom_id": one.custom_id, "response": response})
    joined = list(join(ROWS, campaign(tmp_path / "results.jsonl", lines)).rows())
    assert [row["embedding"] for row in joined] == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5], [0.0, 0.5]]
    assert [row["input_tokens"] for row in joined] == [4, 3, 3, 10]
    lines[0] = failed(packed[0].custom_id)
    joined = list(join(ROWS, campaign(tmp_path / "results.jsonl", lines)).rows())
    assert [row["outcome"] for row in joined] == ["expired"] * 3 + ["succeeded"]


def test_a_frame_comes_back_as_a_frame(tmp_path: Path) -> None:
    """A frame keeps its columns and their types, and has those of the answers added."""
    results = campaign(tmp_path / "results.jsonl", [line(f"r{one}", f"a{one}") for one in range(4)])
    frame = polars.DataFrame(ROWS).with_columns(polars.lit(1, dtype=polars.Int8).alias("small"))
    found = add_answers(frame, results)
    assert found.columns[:4] == ["id", "text", "small", "answer"]
    assert found.schema["small"] == polars.Int8
    assert found["answer"].to_list() == ["a0", "a1", "a2", "a3"]
    assert add_answers(frame.lazy(), results).collect().equals(found)
    assert add_answers(ROWS, results)[3]["answer"] == "a3"


def test_types_of_a_parquet_file_survive_the_join(tmp_path: Path) -> None:
    """Original columns are written with the types they were read with."""
    frame = polars.DataFrame(ROWS).with_columns(polars.lit(1, dtype=polars.Int8).alias("small"))
    frame.write_parquet(tmp_path / "in.parquet")
    results = campaign(tmp_path / "results.jsonl", [line(f"r{one}", "x") for one in range(4)])
    write_table(join(tmp_path / "in.parquet", results), tmp_path / "out.parquet")
    assert table_of(tmp_path / "out.parquet").types() == {
        "id": "VARCHAR",
        "text": "VARCHAR",
        "small": "TINYINT",
        "answer": "VARCHAR",
        "outcome": "VARCHAR",
        "error": "VARCHAR",
        "input_tokens": "BIGINT",
        "output_tokens": "BIGINT",
        "cost_usd": "DOUBLE",
    }
