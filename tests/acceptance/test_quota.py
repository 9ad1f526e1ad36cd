"""Batches that rest, and batches that wait for tokens, before a real worker."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types import Batch

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


def ask(client: OpenAI, path: str) -> Batch:
    """Ask something of a batch that OpenAI's client has no method for."""
    return client.post(path, cast_to=Batch)


def held_shards(data: Path, batch: Batch) -> int:
    """How many shards of a batch are in workers' hands."""
    store = sqlite3.connect(data / "batchyard.sqlite")
    query = "select count(*) from shards where batch_id = ? and worker is not null"
    (found,) = store.execute(query, (batch.id,)).fetchone()
    store.close()
    return int(found)


def test_a_paused_batch_rests_and_goes_on(house: House) -> None:
    """What is at the upstream comes back; then nothing is asked until it is resumed."""
    house.sim.set("latency", "fixed:0.2")
    client = house.client
    batch = batch_of(client, request_lines(2_000))
    until(lambda: has_some(client, batch))
    ask(client, f"/batches/{batch.id}/pause")
    until(lambda: not held_shards(house.server.data, batch))
    rested = client.batches.retrieve(batch.id)
    served = house.sim.served()
    assert rested.request_counts is not None
    assert (rested.status, rested.request_counts.completed) == ("in_progress", served.total())
    assert 0 < served.total() < 2_000
    house.sim.set("latency", "instant")
    # Another batch passes by the one that rests.
    assert ended(client, batch_of(client, request_lines(5))).status == "completed"
    assert client.batches.retrieve(batch.id) == rested
    ask(client, f"/batches/{batch.id}/resume")
    output, errors = results_of(client, ended(client, batch))
    assert (len({str(line["custom_id"]) for line in output}), errors) == (2_000, [])
    assert max(house.sim.served().values()) <= 2, "c0 to c4 were asked by both batches"


def test_a_paused_batch_can_be_cancelled(house: House) -> None:
    """It need not be resumed first."""
    house.sim.set("latency", "fixed:0.2")
    batch = batch_of(house.client, request_lines(2_000))
    until(lambda: has_some(house.client, batch))
    ask(house.client, f"/batches/{batch.id}/pause")
    house.client.batches.cancel(batch.id)
    batch = ended(house.client, batch)
    output, errors = results_of(house.client, batch)
    assert (batch.status, len(output + errors)) == ("cancelled", 2_000)


def why(client: OpenAI, batch: Batch) -> Any:
    """The reason that is shown now, or nothing."""
    extras: Any = client.batches.retrieve(batch.id).model_extra
    return extras["batchyard"].get("reason")


def test_a_batch_says_that_its_upstream_is_down(tmp_path: Path, serve: Serve) -> None:
    """Since when, and when it is tried next; and no more once it is back."""
    sim = Sim(tmp_path)
    client = serve([sim.url]).start()
    sim.set("latency", "fixed:0.2")
    batch = batch_of(client, request_lines(500))
    until(lambda: has_some(client, batch))
    sim.close()
    until(lambda: (why(client, batch) or {}).get("code") == "upstream_down")
    reason = why(client, batch)
    assert batch.created_at <= reason["since"]
    assert "is down" in reason["message"]


def test_a_batch_says_that_its_upstream_asks_for_silence(sim: Sim, serve: Serve) -> None:
    """A 429 holds its lane, or its line, up; one that is cancelled has no reason to wait."""
    client = serve([sim.url]).start()
    sim.set("faults", "429:1")
    batch = batch_of(client, request_lines(50))
    codes = ("upstream_throttling", "retry_backoff")
    until(lambda: (why(client, batch) or {}).get("code") in codes)
    client.batches.cancel(batch.id)
    assert ended(client, batch).status == "cancelled"
    assert why(client, batch) is None
