"""`batchyard results` as rows: beside those of a table, and into every kind of table."""

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.acceptance.processes import batch_of, ended
from tests.cli.calling import call
from tests.cli.conftest import Home

REVIEWS = "id,review\nr1,Came late\nr2,I love it\nr3,Never again\n"
MAKE = ("make", "reviews.csv", "--model", "m1", "--template", "{review}", "--id", "id")


@pytest.fixture
def asked(home: Home) -> Path:
    """A campaign of a table's rows, made with `make`."""
    Path("reviews.csv").write_text(REVIEWS)
    assert call(*MAKE, "-o", "in.jsonl").exit_code == 0
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    return Path("in.campaign")


def rows(path: str) -> list[dict[str, Any]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_answers_stand_beside_the_rows(asked: Path) -> None:
    """By the order, or by the columns that made the ids; as CSV, Parquet, DuckDB, SQLite, lines."""
    early = call("results", "@last", "--join", "reviews.csv")
    assert early.exit_code == 7
    assert call("watch", "@last").exit_code == 0
    assert call("results", "@last", "--join", "reviews.csv", "-o", "out.csv").exit_code == 0
    found = rows("out.csv")
    assert [(one["id"], one["outcome"]) for one in found] == [
        (id, "succeeded") for id in ("r1", "r2", "r3")
    ]
    assert all(one["answer"] for one in found)
    assert call("results", "@last", "--join", "reviews.csv", "-o", "out.csv").exit_code == 1
    Path("two.csv").write_text("id,more\nr3,x\nr9,y\n")
    joined = ("results", "@last", "--join", "two.csv", "--id", "id")
    told = [json.loads(line) for line in call(*joined).stdout.splitlines()]
    assert [(one["id"], one["more"], one["outcome"]) for one in told] == [
        ("r3", "x", "succeeded"),
        ("r9", "y", "missing"),
    ]
    good = [json.loads(line) for line in call(*joined, "--ok-only").stdout.splitlines()]
    assert [one["id"] for one in good] == ["r3"]
    for place in ("out.parquet", "out.duckdb", "out.sqlite"):
        assert call("results", asked, "-o", place).exit_code == 0, place
    with duckdb.connect() as duck:
        ids = duck.execute("select custom_id, outcome from 'out.parquet'").fetchall()
    assert ids == [("r1", "succeeded"), ("r2", "succeeded"), ("r3", "succeeded")]


def test_a_batch_is_joined_as_well(home: Home, asked: Path) -> None:
    """Its input's order is that of the rows."""
    batch = ended(home.openai, batch_of(home.openai, Path("in.jsonl").read_bytes()))
    assert call("results", batch.id, "--join", "reviews.csv", "-o", "out.csv").exit_code == 0
    assert [one["id"] for one in rows("out.csv")] == ["r1", "r2", "r3"]
    Path("short.csv").write_text("id\nr1\n")
    done = call("results", batch.id, "--join", "short.csv", "-o", "short.parquet")
    assert (done.exit_code, "not the rows that were asked" in done.stderr) == (3, True)
    assert not Path("short.parquet").exists()
    assert call("results", batch.id, "--join", "none.csv").exit_code == 3
    assert call("results", batch.id, "--join", "reviews.csv", "--field", "text").exit_code == 2


def test_answers_are_columns_by_their_schema(asked: Path) -> None:
    """A column for each field; what does not fit has its error beside it."""
    fields = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
    Path("label.json").write_text(json.dumps(fields))
    assert call("watch", asked).exit_code == 0
    done = call("results", asked, "--schema", "label.json", "-o", "out.csv")
    assert done.exit_code == 0
    (first, *_) = rows("out.csv")
    assert first["label"] == ""
    assert (first["outcome"], bool(first["error"])) == ("invalid_output", True)


def test_a_campaign_of_rows_gives_them_back(home: Home) -> None:
    """Without a table its own; with one, its rows in the same order."""
    Path("reviews.csv").write_text(REVIEWS)
    run = ("run", "reviews.csv", "--to", home.server.url, "--poll", "0.05", "--no-cache")
    done = call(*run, "--model", "m1", "--text", "review", "--labels", "a,b", "--id", "id")
    assert done.exit_code == 0
    assert call("results", "@last", "-o", "own.csv").exit_code == 0
    assert [one["id"] for one in rows("own.csv")] == ["r1", "r2", "r3"]
    Path("more.csv").write_text("id,stars\nr1,1\nr2,5\nr3,2\n")
    joined = ("results", "@last", "--join", "more.csv", "--id", "id")
    assert call(*joined, "-o", "joined.csv").exit_code == 0
    assert {(one["stars"], one["label"] in "ab") for one in rows("joined.csv")} == {
        ("1", True),
        ("5", True),
        ("2", True),
    }
    Path("more.csv").write_text("id,stars\nr2,5\nr1,1\nr3,2\n")
    assert call(*joined, "-o", "wrong.csv").exit_code == 3
