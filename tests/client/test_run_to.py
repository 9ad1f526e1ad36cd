"""`batchyard run --to`: tables and batch files to a Batch API and back, in one command."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result

from batchyard.client.campaigns.here import begin_here
from batchyard.client.tabular.oneliners import generate
from tests.acceptance.processes import command, request_lines
from tests.cli.calling import call
from tests.client.conftest import Strict

Go = Callable[..., Result]
SAID = {"role": "user", "content": "Hello"}
REVIEWS = "id,review\nr1,Came late and broken\nr2,I love it\nr3,I love it\n"


@pytest.fixture
def go(strict: Strict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """`batchyard run` in a folder with a table, to a server of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    Path("reviews.csv").write_text(REVIEWS)

    def run(*words: object) -> Result:
        return call("run", *words, "--to", strict.server.url, "--poll", "0.05")

    return run


def rows(path: str) -> list[dict[str, Any]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_becomes_a_labelled_parquet(go: Go) -> None:
    """In one command; the same row is asked once, and every row has its label."""
    wanted = ("--model", "m1", "--text", "review", "--id", "id", "--labels", "good, bad")
    done = go("reviews.csv", *wanted, "-o", "labelled.parquet")
    assert (done.exit_code, done.stdout) == (0, "labelled.parquet\n")
    assert "3 succeeded\n2 asked, 1 the same as another row" in done.stderr
    asked = "select id, review, label, outcome from 'labelled.parquet'"
    with duckdb.connect() as duck:
        found = duck.execute(asked).fetchall()
    assert [one[0] for one in found] == ["r1", "r2", "r3"]
    assert {one[2] for one in found} <= {"good", "bad"}


def test_a_batch_file_is_asked_as_it_stands(go: Go, strict: Strict) -> None:
    """Its results are one line for each request; as a table, if that is wanted."""
    Path("in.jsonl").write_bytes(request_lines(5))
    done = go("in.jsonl", "-o", "out.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["results"], told["counts"]["succeeded"]) == (0, "out.jsonl", 5)
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [one["custom_id"] for one in lines] == [f"c{n}" for n in range(5)]
    assert go("in.jsonl", "-o", "out.csv").exit_code == 0
    assert [one["outcome"] for one in rows("out.csv")] == ["succeeded"] * 5
    assert strict.sim.served().total() == 5


def test_a_dry_run_and_a_cap_come_before_the_bill(go: Go, strict: Strict) -> None:
    """Requests, plan and price are shown; over the cap the exit code is 8."""
    Path("batchyard.toml").write_text('[[price]]\nmodel = "m1"\ninput = 10\noutput = 1000\n')
    Path("in.jsonl").write_bytes(request_lines(5))
    for words in (("in.jsonl",), ("reviews.csv", "--model", "m1", "--template", "Why? {review}")):
        shown = go(*words, "--dry-run")
        assert (shown.exit_code, shown.stdout) == (0, "")
        assert "plan: 1 batch" in shown.stderr
        assert "price: $" in shown.stderr
        assert go(*words, "--max-usd", "0.01").exit_code == 8
    assert strict.sim.served().total() == 0


def test_a_canary_sings_first(go: Go) -> None:
    """Its answers are shown; of a table they are not asked for again."""
    Path("in.jsonl").write_bytes(request_lines(5))
    done = go("in.jsonl", "-o", "out.jsonl", "--canary", "2")
    assert (done.exit_code, done.stderr.count("] Simulated answer")) == (0, 2)
    words = ("reviews.csv", "--model", "m1", "--text", "review", "--into", "German")
    done = go(*words, "-o", "german.csv", "--canary", "1")
    assert "1 tried first, 1 asked, 1 the same" in done.stderr
    assert all(one["translation"] for one in rows("german.csv"))


def test_what_is_extracted_may_stand_in_a_file(go: Go) -> None:
    """A JSON Schema, or a type of a module beside it."""
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    Path("mood.json").write_text(json.dumps(schema))
    Path("moods.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Mood:\n x: int\n"
    )
    words = ("reviews.csv", "--model", "m1", "--text", "review")
    assert go(*words, "--schema", "mood.json", "-o", "a.csv").exit_code == 0
    assert all(one["mood"] for one in rows("a.csv"))
    assert go(*words, "--schema", "moods:Mood", "-o", "b.csv").exit_code == 0
    assert all(one["x"].isdigit() for one in rows("b.csv"))


def test_models_are_compared(go: Go) -> None:
    """Each has its score beside what chance may make of it."""
    Path("cases.csv").write_text("q,a\nIs 2 even?,yes\nIs 3 even?,no\n")
    words = ("cases.csv", "--model", "m1", "--model", "m2", "--text", "q", "--labels", "yes,no")
    done = go(*words, "--gold", "a", "-o", "compared.csv")
    assert done.exit_code == 0
    assert "of 2 right" in done.stderr
    assert [one["model"] for one in rows("compared.csv")] == ["m1", "m2", "m1", "m2"]


def test_models_are_scored_by_a_scorer(go: Go) -> None:
    """By its name, or one of one's own in a module; one model alone too."""
    Path("cases.csv").write_text("q,a\nSay it.,Simulated\nSay that.,Strange\n")
    Path("graders.py").write_text("def half(said, row):\n    return row['a'] == 'Strange'\n")
    words = ("cases.csv", "--model", "m1", "--text", "q", "--gold", "a", "-o", "scored.csv")
    done = go(*words, "--scorer", "contains", "--report", "r.html")
    assert (done.exit_code, "m1: 1 of 2 right" in done.stderr) == (0, True)
    assert [one["correct"].lower() for one in rows("scored.csv")] == ["true", "false"]
    page = Path("r.html").read_text()
    assert "Scored by:" in page
    assert "Agreement with gold labels" not in page
    done = go(*words, "--scorer", "graders:half")
    assert (done.exit_code, "m1: 1 of 2 right" in done.stderr) == (0, True)
    assert [one["correct"].lower() for one in rows("scored.csv")] == ["false", "true"]
    done = go(*words, "--scorer", "like")
    assert (done.exit_code, "There is no scorer 'like'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("reviews.csv",), 2, "--model"),
        (("reviews.csv", "--model", "m1"), 2, "Say what is wanted"),
        (("reviews.csv", "--model", "m1", "--labels", "a", "--into", "b"), 2, "Give one of"),
        (("reviews.csv", "--model", "m1", "--template", "{reviw}"), 3, "{review}"),
        (("reviews.csv", "--model", "m1", "--labels", "a,b", "--text", "x"), 3, "no column 'x'"),
        (("reviews.csv", "--model", "m1", "--schema", "x"), 2, "MODULE:NAME"),
        (("reviews.csv", "--upstream", "sim", "--model", "m"), 2, "--upstream"),
        (("bad.jsonl",), 3, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(go: Go, words: tuple[str, ...], code: int, said: str) -> None:
    """With the exit code that scripts know it by."""
    Path("bad.jsonl").write_text("no request\n")
    done = go(*words, "-o", "out.csv")
    assert (done.exit_code, said in done.stderr) == (code, True)
    assert not Path("out.csv").exists()


def test_the_road_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes to a Batch API that was not named."""
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text(REVIEWS)
    done = call("run", "reviews.csv", "--labels", "a,b", "-o", "out.csv")
    assert (done.exit_code, "needs --to" in done.stderr) == (2, True)
    assert call("run", "reviews.csv").exit_code == 2


def test_rows_are_answered_without_a_batch_api(go: Go, tmp_path: Path) -> None:
    """With --upstream the same table, labels and report; the same command again asks nothing."""
    wanted = ("--model", "sim-small", "--text", "review", "--id", "id", "--labels", "good,bad")
    words = ("run", "reviews.csv", *wanted, "--upstream", "sim")
    shown = call(*words, "--dry-run")
    assert (shown.exit_code, "2 distinct requests" in shown.stderr) == (0, True)
    done = call(*words, "-o", "out.csv", "--report", "page.html")
    assert (done.exit_code, done.stdout) == (0, "out.csv\n")
    assert "3 succeeded\n2 asked, 1 the same as another row" in done.stderr
    assert [one["id"] for one in rows("out.csv")] == ["r1", "r2", "r3"]
    assert {one["label"] for one in rows("out.csv")} <= {"good", "bad"}
    assert Path("page.html").exists()
    again = call(*words, "-o", "again.csv")
    assert (again.exit_code, "answered, 0 failed" in again.stderr) == (0, False)
    assert rows("again.csv") == rows("out.csv")
    assert call("status", "@last").exit_code == 0


def test_rows_go_on_after_a_kill(go: Go, tmp_path: Path) -> None:
    """What was answered before is kept; no other verb takes it to a Batch API."""
    wanted = ("--model", "sim-small", "--template", "{review}", "--folder", "own", "--no-cache")
    made = generate(
        "reviews.csv",
        "{review}",
        model="sim-small",
        to="http://sim.invalid/v1",
        folder="own",
        cache=False,
        submit=False,
        settings={"rounds_max": 1},
    )
    asked = begin_here(made.folder)
    assert asked is not None
    told = call("watch", "own")
    assert (told.exit_code, "run --upstream" in told.stderr) == (1, True)
    assert call("status", "own").exit_code == 0
    done = call("run", "reviews.csv", *wanted, "--upstream", "sim", "-o", "-")
    assert done.exit_code == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["outcome"] for one in found] == ["succeeded"] * 3


def test_stdin_is_asked_too(go: Go) -> None:
    """Requests or rows, by how they begin; the same again is the same campaign."""
    lines = request_lines(3, {"model": "sim-small", "messages": [SAID]})
    done = piped("run", "-", "--upstream", "sim", "-o", "out.jsonl", stdin=lines)
    assert (done.returncode, Path("out.jsonl").read_bytes().count(b"\n")) == (0, 3)
    wanted = ("--model", "sim-small", "--text", "review", "--labels", "a,b", "-o", "-")
    done = piped("run", "-", *wanted, "--upstream", "sim", stdin=REVIEWS.encode())
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["r1", "r2", "r3"]
    assert piped("run", "-", "--upstream", "sim", "-o", "x.jsonl", stdin=b"").returncode == 1


def piped(*words: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command(*words), input=stdin, capture_output=True, check=False)
