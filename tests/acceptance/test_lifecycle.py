"""The whole life of a batch, with OpenAI's own client against real processes."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.acceptance.processes import ENDED, Server, Sim, request_lines, results_of, until

Serve = Callable[..., Server]
Endpoint = Literal[
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
]


def created(client: OpenAI, lines: bytes, endpoint: Endpoint = "/v1/chat/completions") -> Batch:
    """Upload lines and create a batch of them."""
    file = client.files.create(file=("lines.jsonl", lines), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def ended(client: OpenAI, batch: Batch) -> Batch:
    """The batch when it has ended."""
    until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    return client.batches.retrieve(batch.id)


def test_a_batch_is_answered(sim: Sim, serve: Serve) -> None:
    """Every line comes back in the output file, counted and with its usage."""
    client = serve([sim.url]).start()
    batch = ended(client, created(client, request_lines(700)))
    output, errors = results_of(client, batch)
    assert (batch.status, batch.model, batch.error_file_id) == ("completed", "m1", None)
    assert {line["custom_id"] for line in output} == {f"c{i}" for i in range(700)}
    assert len(output) == 700
    assert not errors
    assert batch.request_counts is not None
    assert batch.request_counts.completed == batch.request_counts.total == 700
    assert batch.usage is not None
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    moments = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert moments == sorted(moment or 0 for moment in moments)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "m1", "input": "hello"}),
        ("/v1/embeddings", {"model": "m1", "input": ["a", "b"]}),
        ("/v1/completions", {"model": "m1", "prompt": "hello"}),
        ("/v1/moderations", {"model": "m1", "input": "hello"}),
        ("/v1/images/generations", {"model": "m1", "prompt": "a house"}),
    ],
)
def test_all_line_endpoints_are_served(
    sim: Sim, serve: Serve, endpoint: Endpoint, body: dict[str, object]
) -> None:
    """Each endpoint of the contract goes to its own path upstream."""
    client = serve([sim.url]).start()
    batch = ended(client, created(client, request_lines(3, body, endpoint), endpoint))
    output, _ = results_of(client, batch)
    assert (batch.status, len(output)) == ("completed", 3)


def test_a_batch_whose_lines_all_fail_is_completed(sim: Sim, serve: Serve) -> None:
    """Failed lines are in the error file with the upstream's status and body; no output file."""
    sim.set("faults", "400:1")
    client = serve([sim.url]).start()
    batch = ended(client, created(client, request_lines(5)))
    _, errors = results_of(client, batch)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert [line["error"] for line in errors] == [None] * 5
    assert all(line["response"]["status_code"] == 400 for line in errors)  # type: ignore[index]
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 5


def test_a_bad_file_fails_the_batch_with_every_error(sim: Sim, serve: Serve) -> None:
    """Nothing is asked; the errors are listed by line, counts stay at zero."""
    client = serve([sim.url]).start()
    lines = request_lines(2) + b"oops\n" + request_lines(1)
    batch = ended(client, created(client, lines))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(one.code, one.line) for one in batch.errors.data or []] == [
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
    ]
    assert not sim.served()


def test_a_model_that_nobody_serves_fails_the_batch(sim: Sim, serve: Serve) -> None:
    """The error names the line and the parameter."""
    client = serve([sim.url]).start()
    lines = request_lines(1, {"model": "m9", "messages": []})
    batch = ended(client, created(client, lines))
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.code, error.line, error.param) == ("model_not_found", 1, "body.model")


def test_a_missing_file_fails_the_batch(sim: Sim, serve: Serve) -> None:
    """The create is accepted, as OpenAI accepts it."""
    client = serve([sim.url]).start()
    batch = client.batches.create(
        input_file_id="file-none", endpoint="/v1/embeddings", completion_window="24h"
    )
    batch = ended(client, batch)
    assert batch.errors is not None
    assert [(one.code, one.param) for one in batch.errors.data or []] == [
        ("invalid_request", "file_id")
    ]


def test_a_cancelled_batch_gives_what_it_has(sim: Sim, serve: Serve) -> None:
    """Answers so far are in the output; each other line is in the error file, once."""
    sim.set("latency", "fixed:0.2")
    client = serve([sim.url], cancel_grace_seconds=1.0).start()
    batch = created(client, request_lines(2_000))

    def has_some() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 0

    until(has_some)
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    codes = {line["error"]["code"] for line in errors}  # type: ignore[index]
    assert (batch.status, codes) == ("cancelled", {"batch_cancelled"})
    ids = [line["custom_id"] for line in output + errors]
    assert sorted(ids) == sorted(f"c{i}" for i in range(2_000))  # type: ignore[type-var]
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(output)
    assert batch.request_counts.failed == 0
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_an_expired_batch_gives_what_it_has(sim: Sim, serve: Serve) -> None:
    """At the end of the window what is missing expires, even while the upstream hangs."""
    client = serve([sim.url]).start()
    sim.set("faults", "hang:0.5")
    batch = created(client, request_lines(40))

    def has_some() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 0

    until(has_some)
    # No window is short enough for a test: the end of this one is moved.
    with sqlite3.connect(next(Path(sim_folder(sim)).glob("data/*.sqlite"))) as store:
        store.execute("UPDATE batches SET expires_at = created_at")
    store.close()
    client.files.delete(batch.input_file_id)
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    assert batch.status == "expired"
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}  # type: ignore[index]
    assert len({str(line["custom_id"]) for line in output + errors}) == 40


def sim_folder(sim: Sim) -> Path:
    """The folder of the test that a simulated upstream belongs to."""
    return sim._log.parent


def test_several_models_and_upstreams(tmp_path: Path, serve: Serve) -> None:
    """A file with several models goes to the upstreams that serve them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Sim(tmp_path / "a", models="m1"), Sim(tmp_path / "b", models="m2")
    client = serve([one.url, two.url]).start()
    lines = b"".join(
        json.dumps(
            {
                "custom_id": f"c{i}",
                "method": "POST",
                "url": "/v1/embeddings",
                "body": {"model": ("m1", "m2")[i % 2], "input": f"text {i}"},
            }
        ).encode()
        + b"\n"
        for i in range(1_001)
    )
    batch = ended(client, created(client, lines, "/v1/embeddings"))
    output, _ = results_of(client, batch)
    assert (batch.status, batch.model, len(output)) == ("completed", None, 1_001)
    assert (len(one.served()), len(two.served())) == (501, 500)
    assert {model.id for model in client.models.list()} == {"m1", "m2"}
    one.close()
    two.close()


def test_an_upstream_that_is_down_costs_nothing(tmp_path: Path, serve: Serve) -> None:
    """The server starts without its upstream; lines wait, and none fails."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    gone = Sim(tmp_path / "first")
    port = gone.url.split(":")[2].removesuffix("/v1")
    gone.close()
    client = serve([gone.url]).start()
    batch = created(client, request_lines(20))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    back = Sim(tmp_path / "second", "--port", port)
    batch = ended(client, batch)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed) == ("completed", 20)
    assert sum(back.served().values()) == 20
    back.close()


def test_an_input_deleted_while_it_runs_is_kept_until_the_end(sim: Sim, serve: Serve) -> None:
    """The file is gone for its owner at once, and for the batch when it has ended."""
    sim.set("latency", "fixed:0.1")
    server = serve([sim.url])
    client = server.start()
    batch = created(client, request_lines(200))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    client.files.delete(batch.input_file_id)
    assert (
        httpx2.get(
            f"{server.url}/files/{batch.input_file_id}", headers={"authorization": "Bearer key"}
        ).status_code
        == 404
    )
    batch = ended(client, batch)
    assert len(results_of(client, batch)[0]) == 200
