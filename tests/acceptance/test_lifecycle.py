"""The whole life of a batch, with OpenAI's own client against real processes."""

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import openai
import pytest
from openai import OpenAI

from tests.acceptance.conftest import House
from tests.acceptance.processes import (
    Server,
    Sim,
    batch_of,
    ended,
    has_some,
    request_lines,
    results_of,
    until,
)

Serve = Callable[..., Server]
Endpoint = Literal[
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
]


def test_a_batch_is_answered(house: House) -> None:
    """Every line comes back in the output file, counted and with its usage."""
    batch = ended(house.client, batch_of(house.client, request_lines(700)))
    output, errors = results_of(house.client, batch)
    assert (batch.status, batch.model, batch.error_file_id) == ("completed", "m1", None)
    assert {line["custom_id"] for line in output} == {f"c{i}" for i in range(700)}
    assert (len(output), len(errors)) == (700, 0)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == batch.request_counts.total == 700
    moments = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert moments == sorted(moment or 0 for moment in moments)
    assert set(house.sim.served().values()) == {1}


def test_usage_is_the_sum_over_all_lines(house: House) -> None:
    """The batch says what its answers say, added up."""
    batch = ended(house.client, batch_of(house.client, request_lines(30)))
    output, _ = results_of(house.client, batch)
    said = [line["response"]["body"]["usage"] for line in output]  # type: ignore[index]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(one["prompt_tokens"] for one in said) > 0
    assert batch.usage.output_tokens == sum(one["completion_tokens"] for one in said) > 0
    assert batch.usage.total_tokens == sum(one["total_tokens"] for one in said)


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
    house: House, endpoint: Endpoint, body: dict[str, object]
) -> None:
    """Each endpoint of the contract goes to its own path upstream."""
    lines = request_lines(3, body, endpoint)
    file = house.client.files.create(file=("lines.jsonl", lines), purpose="batch")
    batch = house.client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h"
    )
    batch = ended(house.client, batch)
    output, _ = results_of(house.client, batch)
    assert (batch.status, len(output)) == ("completed", 3)


def test_a_batch_whose_lines_all_fail_is_completed(house: House) -> None:
    """Failed lines are in the error file with the upstream's status and body; no output file."""
    house.sim.set("faults", "400:1")
    batch = ended(house.client, batch_of(house.client, request_lines(5)))
    _, errors = results_of(house.client, batch)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert [line["error"] for line in errors] == [None] * 5
    assert all(line["response"]["status_code"] == 400 for line in errors)  # type: ignore[index]
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 5


def test_passing_faults_of_the_upstream_cost_no_line(house: House) -> None:
    """Throttling, server errors, resets and cut answers are tried again until they succeed."""
    house.sim.set("faults", "429-none:0.05,503:0.05,reset:0.05,cut:0.05,garbage:0.02")
    batch = ended(house.client, batch_of(house.client, request_lines(200)))
    output, errors = results_of(house.client, batch)
    assert (batch.status, errors) == ("completed", [])
    assert sorted(str(line["custom_id"]) for line in output) == sorted(f"c{i}" for i in range(200))


def test_a_bad_file_fails_the_batch_with_every_error(house: House) -> None:
    """Nothing is asked; the errors are listed by line, counts stay at zero."""
    lines = request_lines(2) + b"oops\n" + request_lines(1)
    batch = ended(house.client, batch_of(house.client, lines))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(one.code, one.line) for one in batch.errors.data or []] == [
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
    ]
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    assert not house.sim.served()


def test_a_model_that_nobody_serves_fails_the_batch(house: House) -> None:
    """The error names the line and the parameter."""
    lines = request_lines(1, {"model": "m9", "messages": []})
    batch = ended(house.client, batch_of(house.client, lines))
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.code, error.line, error.param) == ("model_not_found", 1, "body.model")


def test_a_missing_file_fails_the_batch(house: House) -> None:
    """The create is accepted, as OpenAI accepts it."""
    batch = house.client.batches.create(
        input_file_id="file-none", endpoint="/v1/embeddings", completion_window="24h"
    )
    batch = ended(house.client, batch)
    assert batch.errors is not None
    assert [(one.code, one.param) for one in batch.errors.data or []] == [
        ("invalid_request", "file_id")
    ]


def test_a_cancelled_batch_gives_what_it_has(house: House) -> None:
    """Answers so far are in the output; each other line is in the error file, once."""
    house.sim.set("latency", "fixed:0.2")
    client = house.client
    batch = batch_of(client, request_lines(2_000))
    until(lambda: has_some(client, batch))
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    codes = {line["error"]["code"] for line in errors}  # type: ignore[index]
    assert (batch.status, codes) == ("cancelled", {"batch_cancelled"})
    ids = [str(line["custom_id"]) for line in output + errors]
    assert sorted(ids) == sorted(f"c{i}" for i in range(2_000))
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(output)
    assert batch.request_counts.failed == 0
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_a_hanging_upstream_does_not_hold_up_a_cancel(house: House) -> None:
    """Lines that do not come back within the grace are given up."""
    house.sim.set("faults", "hang:1")
    client = house.client
    batch = batch_of(client, request_lines(20))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    asked = time.monotonic()
    client.batches.cancel(batch.id)
    batch = ended(client, batch)
    assert time.monotonic() - asked < 5
    assert (batch.status, batch.output_file_id) == ("cancelled", None)
    assert len(results_of(client, batch)[1]) == 20


def test_an_expired_batch_gives_what_it_has(sim: Sim, serve: Serve) -> None:
    """At the end of the window what is missing expires, even while the upstream hangs."""
    server = serve([sim.url])
    client = server.start()
    sim.set("faults", "hang:0.2")
    batch = batch_of(client, request_lines(40))
    until(lambda: has_some(client, batch))
    server.kill()
    # No window is short enough for a test: the end of this one is moved while nobody looks.
    move_end(server.data, int(time.time()) + 4)
    client = server.start()
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    assert (batch.status, len(output + errors)) == ("expired", 40)
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}  # type: ignore[index]
    assert len({str(line["custom_id"]) for line in output + errors}) == 40
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(output) > 0
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def move_end(data: Path, expires_at: int) -> None:
    """Move the end of the window of every batch."""
    store = sqlite3.connect(data / "batchyard.sqlite")
    with store:
        store.execute("UPDATE batches SET expires_at = ?", (expires_at,))
    store.close()


def test_several_models_and_upstreams(tmp_path: Path, serve: Serve) -> None:
    """A file with several models goes to the upstreams that serve them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Sim(tmp_path / "a", models="m1"), Sim(tmp_path / "b", models="m2")
    client = serve([one.url, two.url]).start()
    batch = ended(client, batch_of(client, mixed_lines(1_001)))
    output, _ = results_of(client, batch)
    assert (batch.status, batch.model, len(output)) == ("completed", None, 1_001)
    assert (len(one.served()), len(two.served())) == (501, 500)
    assert {model.id for model in client.models.list()} == {"m1", "m2"}
    one.close()
    two.close()


def mixed_lines(count: int) -> bytes:
    """Lines whose models take turns."""
    lines = [json.loads(line) for line in request_lines(count).splitlines()]
    for number, line in enumerate(lines):
        line["body"]["model"] = ("m1", "m2")[number % 2]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_an_upstream_that_is_down_costs_nothing(tmp_path: Path, serve: Serve) -> None:
    """The server starts without its upstream; lines wait, and none fails."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    gone = Sim(tmp_path / "first")
    port = gone.url.split(":")[2].removesuffix("/v1")
    gone.close()
    client = serve([gone.url]).start()
    batch = batch_of(client, request_lines(20))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    back = Sim(tmp_path / "second", "--port", port)
    batch = ended(client, batch)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed) == ("completed", 20)
    assert sum(back.served().values()) == 20
    back.close()


def test_an_input_deleted_while_it_runs_is_kept_until_the_end(house: House) -> None:
    """The file is gone for its owner at once, and for the batch when it has ended."""
    house.sim.set("latency", "fixed:0.1")
    client: OpenAI = house.client
    batch = batch_of(client, request_lines(200))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    client.files.delete(batch.input_file_id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(batch.input_file_id)
    batch = ended(client, batch)
    assert len(results_of(client, batch)[0]) == 200
