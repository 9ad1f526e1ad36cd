"""What the programs of articles about the Batch API want, each as it is asked of us today."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import BaseModel, Field

import batchyard
from batchyard.client.tables import Query
from tests.acceptance.processes import batch_of, ended
from tests.cli.calling import call
from tests.client.conftest import Strict
from tests.client.lines import line

QUICK: dict[str, Any] = {"poll_seconds": 0.05, "settle_seconds": 0.01}
Terms = Callable[..., dict[str, Any]]


@pytest.fixture
def terms(strict: Strict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terms:
    """In a folder of its own, with the server in the environment, as a reader would have it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", strict.server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    return lambda **more: {"model": "m1", "settings": QUICK, **more}


def chats(*ids: str, **body: Any) -> str:
    """A batch file, by hand."""
    return "".join(line(id, model="m1", **body) for id in ids)


def test_run_this_file_and_give_me_the_results(strict: Strict, terms: Terms) -> None:
    """One command: it waits for any end, and what failed is in the results too."""
    Path("in.jsonl").write_text(chats("a", "b") + line("c", model="m1", messages=[]))
    done = call("run", "in.jsonl", "--to", strict.server.url, "-o", "out.jsonl", "--poll", "0.05")
    assert "2 succeeded, 1 errored" in done.stderr
    found = [json.loads(one) for one in Path("out.jsonl").read_text().splitlines()]
    assert [(one["custom_id"], one["outcome"]) for one in found] == [
        ("a", "succeeded"),
        ("b", "succeeded"),
        ("c", "errored"),
    ]


def test_tell_me_all_that_is_wrong_with_a_file(terms: Terms) -> None:
    """A byte order mark, a blank line and an id that comes twice, at once, with what mends each."""
    Path("in.jsonl").write_text("\ufeff" + chats("a") + "\n" + chats("a"))
    done = call("check", "in.jsonl", "--for", "openai", "--json")
    assert done.exit_code == 3
    findings = json.loads(done.stdout)["report"]["findings"]
    codes = {one["code"] for one in findings}
    assert codes >= {"byte_order_mark", "blank_lines", "duplicate_custom_id"}
    assert all(one["fix"] for one in findings)
    assert call("fix", "in.jsonl", "-o", "fixed.jsonl").exit_code == 0
    assert call("check", "fixed.jsonl", "--for", "openai", "--strict").exit_code == 0


class Verdict(BaseModel):
    """What is wanted of each review."""

    sentiment: str
    confidence: float = Field(ge=0, le=1)
    key_phrases: list[str] = Field(max_length=5)


def test_a_typed_verdict_for_each_review(terms: Terms) -> None:
    """Rows in, instances of the model out, by the review's id."""
    rows = [{"review_id": f"R-{n}", "text": f"Review {n}."} for n in range(4)]
    campaign = batchyard.extract(rows, Verdict, id="review_id", **terms())
    verdicts = {one.custom_id: one.value for one in campaign.answers()}
    assert list(verdicts) == ["R-0", "R-1", "R-2", "R-3"]
    assert all(isinstance(one, Verdict) for one in verdicts.values())


def test_what_will_i_save(terms: Terms) -> None:
    """Both prices of a file by the list, per model; a batch is half."""
    Path("in.jsonl").write_text(line("a", model="gpt-4o-mini", max_tokens=500))
    done = call("estimate", "in.jsonl", "--for", "openai", "--json")
    (row,) = json.loads(done.stdout)["estimate"]["models"]
    low, high = row["batch_usd"]
    assert [2 * low, 2 * high] == pytest.approx(row["realtime_usd"])
    assert 0 < low < high
    assert row["price"]


def test_classify_a_list_and_count_the_labels(terms: Terms) -> None:
    """A closed set of labels: no answer is none of them, and the counts add up."""
    documents = [f"Document {n}." for n in range(60)]
    labels = ["positive", "negative", "neutral"]
    campaign = batchyard.classify(documents, labels, **terms())
    counted = Counter(one.value for one in campaign.answers())
    assert set(counted) <= set(labels)
    assert counted.total() == 60


def test_watch_without_standing_still(terms: Terms) -> None:
    """Attach to what was submitted; be told of progress and of each result; go on meanwhile."""
    Path("in.jsonl").write_text(chats(*(f"doc_{n}" for n in range(8))))
    batchyard.submit("in.jsonl", **QUICK)
    told: list[int] = []
    texts: dict[str, str | None] = {}
    elsewhere: list[str] = []

    async def meanwhile() -> None:
        elsewhere.append("went on")

    async def main() -> None:
        campaign = batchyard.Campaign("in.campaign", "key")
        await asyncio.gather(
            campaign.arun(
                lambda now: told.append(now.done),
                on_result=lambda one: texts.update({one.custom_id: one.text}),
            ),
            meanwhile(),
        )

    asyncio.run(main())
    assert elsewhere == ["went on"]
    assert told[-1] == 8
    assert sorted(texts) == [f"doc_{n}" for n in range(8)]
    assert all(texts.values())


def test_split_what_is_too_large(terms: Terms) -> None:
    """No chunk is empty, also where the first line is the largest; what fits nowhere is told."""
    said = "x" * 4_000
    large = line("large", model="m1", messages=[{"role": "user", "content": said}])
    Path("in.jsonl").write_text(large + chats(*(f"s{n}" for n in range(9))))
    done = call("split", "in.jsonl", "--max-tokens", "1100", "--max-requests", "4")
    assert done.exit_code == 0
    parts = [json.loads(one) for one in done.stdout.splitlines()]
    assert [one["requests"] for one in parts] == [4, 4, 2]
    assert all(one["input_tokens"] <= 1_100 for one in parts)
    refused = call("split", "in.jsonl", "--max-tokens", "500", "-o", "none")
    assert (refused.exit_code, "line 1 has" in refused.stderr) == (3, True)


def test_who_failed_and_only_them_again(strict: Strict, terms: Terms) -> None:
    """A summary that adds up, whichever file a failure is in; then one merged result."""
    Path("in.jsonl").write_text(chats("a", "b") + chats("c", max_tokens=3))
    first = batchyard.submit("in.jsonl", accept_cut_off=False, rounds_max=1, **QUICK)
    counts = first.run()
    assert counts is not None
    assert (counts["succeeded"], counts["invalid_output"], sum(counts.values())) == (2, 1, 3)
    again = batchyard.submit("in.jsonl", "again.campaign", rounds_max=12, **QUICK)
    counts = again.run()
    assert counts is not None
    assert counts["succeeded"] == 3
    *_, last = again.results()
    assert (last.custom_id, last.attempts[0].outcome) == ("c", "invalid_output")
    assert len(last.attempts) > 1


def test_two_models_in_one_go(strict: Strict, terms: Terms) -> None:
    """One file and one result, though the server takes one model in a batch."""
    lines = [line(f"t{n}", model=f"m{1 + n % 2}") for n in range(6)]
    Path("in.jsonl").write_text("".join(lines))
    campaign = batchyard.submit("in.jsonl", **QUICK)
    counts = campaign.run()
    assert counts is not None
    assert counts["succeeded"] == 6
    assert len(campaign.standing().chunks) == 2
    assert [one.body["model"] for one in campaign.results()] == ["m1", "m2"] * 3


def test_from_a_table_through_tasks_into_tables(terms: Terms) -> None:
    """A pipeline: the same rows embedded and classified, each to a file of its own kind."""
    Path("docs.csv").write_text("id,body\nd1,First.\nd2,Second.\n")
    embedded = batchyard.embed("docs.csv", text="body", id="id", **terms(dimensions=4))
    labelled = batchyard.classify("docs.csv", ["x", "y"], text="body", id="id", **terms())
    embedded.to("vectors.parquet")
    labelled.to("labels.db", table="labels")
    with duckdb.connect() as duck:
        found = duck.execute("SELECT id, len(embedding) FROM 'vectors.parquet'").fetchall()
    assert found == [("d1", 4), ("d2", 4)]
    with sqlite3.connect("labels.db") as database:
        stored = database.execute("SELECT id, label FROM labels").fetchall()
    database.close()
    assert [one[0] for one in stored] == ["d1", "d2"]


def test_a_line_is_a_line(strict: Strict, terms: Terms) -> None:
    """The same question twice in a file is asked twice: somebody may want two answers."""
    Path("in.jsonl").write_text(chats("a", "b", "c"))
    counts = batchyard.submit("in.jsonl", **QUICK).run()
    assert counts is not None
    assert counts["succeeded"] == strict.sim.served().total() == 3
    told = json.loads(call("stats", "in.jsonl", "--json").stdout)
    assert told["stats"]["repeated_requests"] == 2


def test_vectors_in_the_order_of_the_texts(strict: Strict, terms: Terms) -> None:
    """Many texts in a line; nothing comes back empty, and all of it in order."""
    texts = [f"Text {n}" for n in range(300)]
    vectors = [one.value for one in batchyard.embed(texts, **terms(dimensions=4)).answers()]
    assert len(vectors) == 300
    assert len({tuple(one) for one in vectors}) == 300
    assert strict.sim.served().total() < 10
    same = [one.value for one in batchyard.embed(texts[::-1], **terms(dimensions=4)).answers()]
    assert same == vectors[::-1]


def test_a_report_for_each_company_in_a_table(terms: Terms) -> None:
    """By the company's own key, whatever is in it; what was cut off has no text and says so."""
    companies = [{"company": "C/1", "name": "Acme"}, {"company": "C:2", "name": "Löwe"}]
    ask: dict[str, Any] = {"id": "company", "max_tokens": 3}
    cut = batchyard.generate(
        companies, "Report on {name}.", **terms(**ask, settings={**QUICK, "rounds_max": 1})
    )
    assert [(one.custom_id, one.outcome) for one in cut.answers()] == [
        ("C/1", "invalid_output"),
        ("C:2", "invalid_output"),
    ]
    whole = batchyard.generate(companies, "Report on {name}.", **terms(id="company"))
    whole.to("reports.db", table="reports")
    with sqlite3.connect("reports.db") as database:
        stored = database.execute("SELECT company, length(answer) > 0 FROM reports").fetchall()
    database.close()
    assert stored == [("C/1", 1), ("C:2", 1)]


def test_every_night_the_same_script(strict: Strict, terms: Terms) -> None:
    """Started twice it attaches to what runs; the next night only new rows are asked."""
    monday = [{"id": n, "text": f"Ticket {n}"} for n in range(5)]
    for _ in range(2):
        campaign = batchyard.classify(monday, ["bug", "wish"], id="id", **terms(folder="monday"))
    assert campaign.run()
    tuesday = [*monday, {"id": 5, "text": "Ticket 5"}]
    campaign = batchyard.classify(tuesday, ["bug", "wish"], id="id", **terms(folder="tuesday"))
    assert campaign.run()
    assert campaign.tally().sources == {"cache": 5, "asked": 1}
    assert strict.sim.served().total() == 6


def test_short_tasks_that_look_once(terms: Terms) -> None:
    """As a scheduler runs them: each opens the folder, does what is due, and ends."""
    Path("in.jsonl").write_text(chats("a", "b") + line("c", model="m1", messages=[]))
    first = json.loads(call("submit", "in.jsonl", "--poll", "0.05", "--json").stdout)
    again = json.loads(call("submit", "in.jsonl", "--poll", "0.05", "--json").stdout)
    assert first["batches"] == again["batches"]
    while call("collect", "in.campaign").exit_code == 7:
        pass
    counts = batchyard.Campaign("in.campaign").counts
    assert counts is not None
    assert (counts["succeeded"], counts["errored"], sum(counts.values())) == (2, 1, 3)


def test_first_steps_one_by_one(terms: Terms) -> None:
    """Check, submit, look, collect, read: each step says what it did."""
    Path("batch_input.jsonl").write_text(chats("capital", "dune"))
    assert call("check", "batch_input.jsonl", "--for", "batchyard-strict").exit_code == 0
    submitted = json.loads(call("submit", "batch_input.jsonl", "--poll", "0.05", "--json").stdout)
    assert len(submitted["batches"]) == 1
    assert call("watch", submitted["folder"]).exit_code == 0
    assert call("status", submitted["folder"]).exit_code == 0
    written = call("results", submitted["folder"], "--field", "text", "--json")
    found = [json.loads(one) for one in written.stdout.splitlines()]
    assert [one["custom_id"] for one in found] == ["capital", "dune"]


def test_why_did_it_fail(strict: Strict, terms: Terms) -> None:
    """The rule, the line and its beginning, and what to do."""
    Path("in.jsonl").write_text(chats("a", "a"))
    batch = ended(strict.openai, batch_of(strict.openai, Path("in.jsonl").read_bytes()))
    assert batch.errors is not None
    assert batch.errors.data is not None
    (error,) = batch.errors.data
    assert error.line == 2
    explained = call("explain", error.code)
    assert explained.exit_code == 0
    assert "custom_id" in explained.stdout
    found = json.loads(call("check", "in.jsonl", "--json").stdout)["report"]["findings"]
    (twice,) = [one for one in found if one["code"] == "duplicate_custom_id"]
    assert twice["quote"].startswith('{"custom_id": "a"')
    assert twice["fix"]


def test_two_lists_answers_and_errors(terms: Terms) -> None:
    """In the order of the input, of one iterable; counted by code too."""
    Path("in.jsonl").write_text(chats("a", "b") + line("c", model="m1", messages=[]))
    campaign = batchyard.submit("in.jsonl", **QUICK)
    campaign.run()
    answers = [one.text for one in campaign.results() if one.succeeded]
    errors = [(one.custom_id, one.code) for one in campaign.results() if not one.succeeded]
    assert len(answers) == 2
    assert [one[0] for one in errors] == ["c"]
    counted = json.loads(call("errors", "in.campaign", "--json").stdout.splitlines()[0])
    assert counted["count"] == 1


def test_hello_world(terms: Terms) -> None:
    """Two questions, two answers."""
    asked = ["What is the capital of France?", "Who wrote Dune?"]
    answers = [one.value for one in batchyard.generate(asked, **terms()).answers()]
    assert len(answers) == 2
    assert all(answers)


def test_tickets_from_a_query_and_back_by_key(terms: Terms) -> None:
    """Export, submit, wait and import are one call and one statement."""
    with sqlite3.connect("tickets.db") as database:
        database.execute("CREATE TABLE tickets (id TEXT PRIMARY KEY, body TEXT, topic TEXT)")
        tickets = [("T-1", "Refund, please"), ("T-2", "It crashes"), ("T-3", "Thanks")]
        database.executemany("INSERT INTO tickets (id, body) VALUES (?, ?)", tickets)
    database.close()
    due = Query("SELECT id, body FROM tickets WHERE topic IS NULL", "sqlite:///tickets.db")
    campaign = batchyard.classify(due, ["billing", "bug", "other"], id="id", text="body", **terms())
    topics = [(one.value, one.custom_id) for one in campaign.answers()]
    with sqlite3.connect("tickets.db") as database:
        database.executemany("UPDATE tickets SET topic = ? WHERE id = ?", topics)
        left = database.execute("SELECT count(*) FROM tickets WHERE topic IS NULL").fetchone()
    database.close()
    assert left == (0,)


def test_translate_describe_and_evaluate(terms: Terms) -> None:
    """The bulk tasks that articles name are calls of their own."""
    pages = [{"slug": "lamp", "text": "A bright lamp."}, {"slug": "chair", "text": "A chair."}]
    german = batchyard.translate(pages, "German", id="slug", **terms())
    assert all(one["translation"] for one in german.rows())
    described = batchyard.generate(
        pages, "A meta description of {text}", id="slug", column="description", **terms()
    )
    assert [bool(one["description"]) for one in described.rows()] == [True, True]
    cases = [{"text": "Is 2 even?", "expected": "yes"}, {"text": "Is 3 even?", "expected": "no"}]
    judged = batchyard.evaluate(cases, ["m1", "m2"], labels=["yes", "no"], settings=QUICK)
    assert [one.cases for one in judged.scores()] == [2, 2]


def test_leave_nothing_behind(strict: Strict, terms: Terms) -> None:
    """The files of a job that is over are deleted at the server; its results stay here."""
    Path("in.jsonl").write_text(chats("a", "b"))
    campaign = batchyard.submit("in.jsonl", **QUICK)
    campaign.run()
    (chunk,) = campaign.standing().chunks
    assert chunk.file_id is not None
    assert chunk.output_file_id is not None
    assert call("clean", "in.campaign", "--yes").exit_code == 0
    left = {one.id for one in strict.openai.files.list(purpose="batch")}
    left |= {one.id for one in strict.openai.files.list(purpose="batch_output")}
    assert not left & {chunk.file_id, chunk.output_file_id}
    assert [one.succeeded for one in campaign.results()] == [True, True]
