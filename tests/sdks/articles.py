"""Programs as articles about the Batch API write them, on the compat client: URL KEY."""

import asyncio
import json
import sqlite3
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import openai
from pydantic import BaseModel, Field

from batchyard.compat import AsyncOpenAI, OpenAI
from batchyard.openbatch import BatchCollector, PromptTemplate

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
PAUSE = threading.Event()


def line(custom_id: str, said: str, model: str = "m1", **more: Any) -> dict[str, Any]:
    """A request as articles write it, by hand."""
    body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def write(path: Path, many: Iterable[dict[str, Any]]) -> Path:
    """A batch file, by hand."""
    with path.open("w") as file:
        for one in many:
            file.write(json.dumps(one) + "\n")
    return path


def run_a_file(client: OpenAI, folder: Path) -> None:
    """Upload, create, ask again and again until an end that the API spells otherwise, save."""
    path = write(folder / "in.jsonl", [line(f"request-{n}", f"Say {n}.") for n in range(3)])
    with path.open("rb") as stream:
        uploaded = client.files.create(file=stream, purpose="batch")
    batch = client.batches.create(input_file_id=uploaded.id, endpoint=CHAT, completion_window="24h")
    while batch.status not in ("completed", "failed", "canceled"):
        PAUSE.wait(0.02)
        batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id
    (folder / "out.jsonl").write_text(client.files.content(batch.output_file_id).text)
    assert len((folder / "out.jsonl").read_text().splitlines()) == 3


class Review(NamedTuple):
    """A row of a table, as a data frame gives it."""

    review_id: str
    text: str


class Verdict(BaseModel):
    """What is wanted of each review."""

    sentiment: str
    confidence: float = Field(ge=0, le=1)
    key_phrases: list[str] = Field(max_length=5)


def collect_rows_with_a_model(client: OpenAI, folder: Path) -> None:
    """A collector of openbatch, one request for each review, keyed by its id."""
    rows = [Review("R-1", "Great."), Review("R-2", "Awful."), Review("R-3", "Fine.")]
    collector = BatchCollector(folder / "reviews.jsonl")
    for row in rows:
        collector.responses.parse(
            custom_id=row.review_id,
            model="m1",
            instructions="Tell the sentiment of the review.",
            input=row.text,
            text_format=Verdict,
        )
    batch = client.beta.batches.create(input_file=(folder / "reviews.jsonl").open("rb"))
    assert batch.endpoint == "/v1/responses"
    client.batches.wait(batch, poll_interval=0.02)
    found = {
        one.custom_id: Verdict.model_validate_json(one.response.body.output[0].content[0].text)
        for one in client.beta.batches.results(batch.id)
    }
    assert list(found) == ["R-1", "R-2", "R-3"]


class Poller:
    """Submits, polls, fetches and parses; the names are those of the genre."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.told: list[str] = []

    def submit(self, path: Path) -> str:
        with path.open("rb") as stream:
            batch = self.client.beta.batches.create(
                input_file=stream, endpoint=CHAT, completion_window="24h"
            )
        return batch.id

    def poll(self, batch_id: str) -> str:
        while True:
            batch = self.client.beta.batches.retrieve(batch_id)
            counts: Any = batch.request_counts
            self.told.append(f"{counts.processed}/{counts.total}")
            if batch.status in ["completed", "failed", "expired"]:
                return batch.status
            PAUSE.wait(0.02)

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        text = self.client.beta.batches.results(batch_id).text
        return [json.loads(one) for one in text.strip().split("\n")]

    def parse(self, results: list[dict[str, Any]]) -> dict[str, str]:
        return {
            one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"]
            for one in results
        }


def poll_in_a_class(client: OpenAI, folder: Path) -> None:
    """Submit, poll with `processed`, results, texts."""
    path = write(folder / "in.jsonl", [line(f"doc_{n}", f"Sum up {n}.") for n in range(6)])
    poller = Poller(client)
    batch_id = poller.submit(path)
    assert poller.poll(batch_id) == "completed"
    assert poller.told[-1] == "6/6"
    texts = poller.parse(poller.results(batch_id))
    assert sorted(texts) == [f"doc_{n}" for n in range(6)]
    assert all(texts.values())


def classify_a_list(client: OpenAI, folder: Path) -> Counter[str]:
    """Documents to a file to labels to counts; the ids are positions."""
    documents = [f"Document {n} is about weather." for n in range(30)]
    wanted = {"type": "string", "enum": ["positive", "negative", "neutral"]}
    schema = {
        "type": "object",
        "properties": {"label": wanted},
        "required": ["label"],
        "additionalProperties": False,
    }
    form = {"name": "label", "strict": True, "schema": schema}
    asked: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": form}}
    write(folder / "in.jsonl", [line(f"{n}", one, **asked) for n, one in enumerate(documents)])
    batch = client.beta.batches.create(input_file=(folder / "in.jsonl").open())
    client.batches.wait(batch.id, poll_interval=0.02)
    labels: Counter[str] = Counter()
    for one in client.beta.batches.results(batch.id):
        assert documents[int(one["custom_id"])]
        labels[
            json.loads(one["response"]["body"]["choices"][0]["message"]["content"])["label"]
        ] += 1
    assert labels.total() == len(documents)
    assert set(labels) <= {"positive", "negative", "neutral"}
    return labels


def tell_successes_from_failures(client: OpenAI, folder: Path) -> None:
    """A success rate that is right, for failures are among the results; then those again."""
    lines = [line(f"ok-{n}", "Hello.") for n in range(4)]
    lines.append({**line("bad", "Hello."), "body": {"model": "m1", "messages": []}})
    write(folder / "in.jsonl", lines)
    batch = client.beta.batches.create(input_file=str(folder / "in.jsonl"))
    client.batches.wait(batch, poll_interval=0.02)
    good: list[str] = []
    bad: list[str] = []
    for one in client.beta.batches.results(batch.id):
        answer = one["response"]
        (good if answer and answer["status_code"] == 200 else bad).append(one["custom_id"])
    assert (sorted(good), bad) == (["ok-0", "ok-1", "ok-2", "ok-3"], ["bad"])
    again = [one for one in lines if one["custom_id"] in bad]
    again[0]["body"] = lines[0]["body"]
    batch = client.beta.batches.create(input_file=write(folder / "again.jsonl", again))
    client.batches.wait(batch, poll_interval=0.02)
    assert [one.response.status_code for one in client.beta.batches.results(batch)] == [200]


def ask_two_models_in_one_file(client: OpenAI, folder: Path) -> None:
    """OpenAI refuses it; a server of one's own, unless it is strict, answers it."""
    lines = [line(f"task_{n}", "Hard." if n % 2 else "Easy.", f"m{1 + n % 2}") for n in range(6)]
    batch = client.beta.batches.create(input_file=write(folder / "in.jsonl", lines))
    client.batches.wait(batch, poll_interval=0.02)
    found = {one.custom_id: one.response.body.model for one in client.beta.batches.results(batch)}
    assert found == {f"task_{n}": f"m{1 + n % 2}" for n in range(6)}


def embed_documents_in_order(client: OpenAI, folder: Path) -> None:
    """Vectors, put back in the order of the texts."""
    texts = [f"Document {n}" for n in range(12)]
    collector = BatchCollector(folder / "in.jsonl")
    for number, text in enumerate(texts):
        collector.embeddings.create(custom_id=f"emb_{number}", model="m1", inp=text)
    batch = client.beta.batches.create(input_file=folder / "in.jsonl")
    assert batch.endpoint == EMBEDDINGS
    client.batches.wait(batch, poll_interval=0.02)
    vectors: list[list[float]] = [[] for _ in texts]
    for one in client.beta.batches.results(batch.id):
        place = int(one.custom_id.split("_")[1])
        vectors[place] = one.response.body.data[0].embedding
    assert all(vectors)
    assert len({tuple(one) for one in vectors}) == len(texts)


def report_per_company_into_a_table(client: OpenAI, folder: Path) -> None:
    """A text for each company, stored under its id, with what was cut off told apart."""
    companies = {"C/1": "Acme", "C:2": "Umbra", "C-3": "Löwe"}
    prompt = PromptTemplate(messages=[{"role": "user", "content": "Report on {name}."}])
    lines = []
    for key, name in companies.items():
        said = prompt.format(name=name)[0].content
        lines.append(line(key, said, max_tokens=3 if key == "C-3" else 400))
    batch = client.beta.batches.create(input_file=write(folder / "in.jsonl", lines))
    client.batches.wait(batch, poll_interval=0.02)
    table = sqlite3.connect(folder / "reports.db")
    table.execute("CREATE TABLE reports (company TEXT PRIMARY KEY, text TEXT, whole INTEGER)")
    for one in client.beta.batches.results(batch.id):
        choice = one.response.body.choices[0]
        whole = choice.finish_reason == "stop"
        stored = (one.custom_id, choice.message.content, whole)
        table.execute("INSERT INTO reports VALUES (?, ?, ?)", stored)
    cut_off = table.execute("SELECT company FROM reports WHERE NOT whole").fetchall()
    stored_ids = {row[0] for row in table.execute("SELECT company FROM reports")}
    table.close()
    assert stored_ids == set(companies)
    assert cut_off == [("C-3",)]


def pass_each_step_by_hand(client: OpenAI, folder: Path) -> None:
    """A first batch: each object is looked at, answers and errors are lists, files are deleted."""
    lines = [line("capital", "What is the capital of France?"), line("dune", "Who wrote Dune?")]
    write(folder / "batch_input.jsonl", lines)
    with (folder / "batch_input.jsonl").open("rb") as stream:
        uploaded = client.files.create(file=stream, purpose="batch")
    assert (uploaded.object, uploaded.purpose) == ("file", "batch")
    batch = client.batches.create(
        input_file_id=uploaded.id,
        endpoint=CHAT,
        completion_window="24h",
        metadata={"description": "a first batch"},
    )
    assert batch.object == "batch"
    batch = client.batches.wait(batch, poll_interval=0.02)
    answers: list[str] = []
    errors: list[str] = []
    for one in client.beta.batches.results(batch):
        (errors if one.error else answers).append(one.response.body.choices[0].message.content)
    assert (len(answers), errors) == (2, [])
    for id in (batch.input_file_id, batch.output_file_id):
        assert id is not None
        assert client.files.delete(id).deleted


def ask_why_it_failed(client: OpenAI, folder: Path) -> None:
    """The errors say which line, and why; mended, it is submitted again."""
    lines = [line("a", "One."), line("a", "Two.")]
    batch = client.beta.batches.create(input_file=write(folder / "in.jsonl", lines))
    batch = client.batches.wait(batch, poll_interval=0.02)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(one.line, one.code) for one in batch.errors.data] == [(2, "duplicate_custom_id")]
    assert list(client.beta.batches.results(batch)) == []
    lines[1]["custom_id"] = "b"
    batch = client.beta.batches.create(input_file=write(folder / "in.jsonl", lines))
    assert client.batches.wait(batch, poll_interval=0.02).status == "completed"


def split_into_chunks(client: OpenAI, folder: Path) -> None:
    """A chunker by length over four, whose first chunk is empty; each other one is a batch."""
    documents = ["long " * 400, *(f"Document {n}." for n in range(8))]
    chunks: list[list[dict[str, Any]]] = []
    current: list[dict[str, Any]] = []
    tokens = 0
    for number, said in enumerate(documents):
        cost = len(said) // 4
        if tokens + cost > 20:
            chunks.append(current)
            current, tokens = [], 0
        current.append(line(f"doc_{number}", said))
        tokens += cost
    chunks.append(current)
    assert chunks[0] == []
    made = [
        client.beta.batches.create(input_file=write(folder / f"{number}.jsonl", chunk))
        for number, chunk in enumerate(chunks)
        if chunk
    ]
    merged: dict[str, str] = {}
    for batch in made:
        client.batches.wait(batch, poll_interval=0.02)
        for one in client.beta.batches.results(batch):
            merged[one.custom_id] = one.response.body.choices[0].message.content
    assert len(made) > 1
    assert [merged[f"doc_{n}"] != "" for n in range(9)] == [True] * 9


class Pipeline:
    """An object that embeds and classifies, with an endpoint for each task."""

    def __init__(self, client: OpenAI, folder: Path) -> None:
        self.client, self.folder = client, folder

    def submit(self, task: str, texts: list[str]) -> str:
        collector = BatchCollector(self.folder / f"{task}.jsonl")
        for number, text in enumerate(texts):
            if task == "embed":
                collector.embeddings.create(custom_id=f"{number}", model="m1", inp=text)
            else:
                said = [{"role": "user", "content": f"Good or bad? {text}"}]
                collector.chat.completions.create(custom_id=f"{number}", model="m1", messages=said)
        return self.client.beta.batches.create(input_file=self.folder / f"{task}.jsonl").id

    def collect(self, batch_id: str) -> dict[str, Any]:
        self.client.batches.wait(batch_id, poll_interval=0.02)
        found = self.client.beta.batches.results(batch_id)
        return {one.custom_id: one.response.body for one in found}


def run_a_pipeline_object(client: OpenAI, folder: Path) -> None:
    """Both tasks at once, each at its own endpoint, joined by id."""
    texts = ["First.", "Second.", "Third."]
    pipeline = Pipeline(client, folder)
    made = [pipeline.submit(task, texts) for task in ("embed", "classify")]
    vectors, labels = map(pipeline.collect, made)
    store = [
        (vectors[f"{n}"].data[0].embedding, labels[f"{n}"].choices[0].message.content)
        for n in range(len(texts))
    ]
    assert all(vector and label for vector, label in store)


def triage_tickets(client: OpenAI, folder: Path) -> None:
    """Export, write, submit, wait, parse, import: six scripts and one database."""
    table = sqlite3.connect(folder / "tickets.db")
    table.execute("CREATE TABLE tickets (id TEXT PRIMARY KEY, body TEXT, topic TEXT)")
    tickets = [("T-1", "Refund, please"), ("T-2", "It crashes"), ("T-3", "Thanks")]
    table.executemany("INSERT INTO tickets (id, body) VALUES (?, ?)", tickets)
    asked = table.execute("SELECT id, body FROM tickets WHERE topic IS NULL").fetchall()
    path = write(folder / "tickets.jsonl", [line(id, f"Topic of: {body}") for id, body in asked])
    batch = client.beta.batches.create(input_file=path, completion_window="24h")
    client.batches.wait(batch, poll_interval=0.02)
    for one in client.beta.batches.results(batch):
        topic = one.response.body.choices[0].message.content
        table.execute("UPDATE tickets SET topic = ? WHERE id = ?", (topic, one.custom_id))
    (left,) = table.execute("SELECT count(*) FROM tickets WHERE topic IS NULL").fetchone()
    table.close()
    assert left == 0


async def await_all_of_it(folder: Path, **there: Any) -> None:
    """The same calls of the async client: create, list, wait, counts, results, cancel."""
    lines = [line(f"doc_{n}", f"Sum up {n}.") for n in range(3)]
    lines.append({**line("bad", "Hello."), "body": {"model": "m1", "messages": []}})
    path = write(folder / "in.jsonl", lines)
    async with AsyncOpenAI(max_retries=0, **there) as client:
        with path.open("rb") as stream:
            made = client.beta.batches.create(input_file=stream)
            other, batch = await asyncio.gather(client.batches.create(input_file=path), made)
        seen: list[str] = []
        for one in (batch, other):
            ended = await client.batches.wait(
                one, poll_interval=0.02, on_progress=lambda now: seen.append(now.status)
            )
            assert (ended.status, seen[-1]) == ("completed", "completed")
        counts: Any = (await client.beta.batches.retrieve(batch.id)).request_counts
        assert (counts.processed, counts.failed) == (4, 1)
        listed = [one async for one in client.beta.batches.list(limit=1)][:1]
        counts = listed[0].request_counts
        assert counts.processed == counts.total
        results = await client.beta.batches.results(batch.id)
        ids = [one.custom_id async for one in results]
        assert ids == [one.custom_id for one in await client.batches.results(other)]
        assert sorted(ids) == ["bad", "doc_0", "doc_1", "doc_2"]
        try:
            await client.beta.batches.cancel(batch.id)
        except openai.ConflictError as error:
            assert "completed" in str(error)


def do_it_all_in_async_code(client: OpenAI, folder: Path) -> None:
    """A program that awaits."""
    there = {"base_url": str(client.base_url), "api_key": client.api_key}
    asyncio.run(await_all_of_it(folder, **there))


PROGRAMS: tuple[Callable[[OpenAI, Path], object], ...] = (
    run_a_file,
    collect_rows_with_a_model,
    poll_in_a_class,
    classify_a_list,
    tell_successes_from_failures,
    ask_two_models_in_one_file,
    embed_documents_in_order,
    report_per_company_into_a_table,
    pass_each_step_by_hand,
    ask_why_it_failed,
    split_into_chunks,
    run_a_pipeline_object,
    triage_tickets,
    do_it_all_in_async_code,
)


def main() -> None:
    """Run the programs, one after another."""
    url, key = sys.argv[1:]
    done = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with OpenAI(base_url=url, api_key=key, max_retries=0) as client:
            for program in PROGRAMS:
                with tempfile.TemporaryDirectory() as folder:
                    program(client, Path(folder))
                done.append(program.__name__)
    ours = [one for one in told if one.category is DeprecationWarning]
    json.dump(
        {
            "version": openai.__version__,
            "done": done,
            "told": len([one for one in ours if "Today: " in str(one.message)]),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
