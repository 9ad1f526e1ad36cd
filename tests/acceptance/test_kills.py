"""SIGKILL at every named moment and at random ones: nothing lost, nothing twice."""

import os
from collections import Counter
from collections.abc import Callable
from random import Random

import openai
import psutil
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.acceptance.processes import ENDED, Server, Sim, request_lines, results_of, until

Serve = Callable[..., Server]
LINES = 600
# What may be in flight, or answered and not yet recorded, when a process is killed: the lane's
# width at most doubles with each turn, and a piece takes 0.2 s.
SURPLUS_PER_KILL = 600

SERVER_POINTS = [
    "blob.before_sync",
    "blob.before_rename",
    "blob.after_rename",
    "file.before_commit",
    "file.after_commit",
    "create.before_commit",
    "create.after_commit",
]
WORKER_POINTS = [
    "populate.before_commit",
    "populate.after_commit",
    "lease.after_commit",
    "segment.before_sync",
    "segment.after_sync",
    "record.before_commit",
    "record.after_commit",
    "finish.before_commit",
    "finish.after_commit",
]


def check(client: OpenAI, batch: Batch, sim: Sim, *, kills: int) -> None:
    """Every line once, counts exact, calls within the bound, by the simulated upstream's log."""
    until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    batch = client.batches.retrieve(batch.id)
    output, errors = results_of(client, batch)
    assert batch.status == "completed"
    ids = Counter(str(line["custom_id"]) for line in output + errors)
    assert ids == Counter(f"c{i}" for i in range(LINES))
    assert batch.request_counts is not None
    counts = (batch.request_counts.total, batch.request_counts.completed)
    assert counts == (LINES, len(output))
    served = sim.served()
    assert len(served) == LINES
    assert sum(served.values()) - LINES <= SURPLUS_PER_KILL * kills


@pytest.mark.parametrize("point", SERVER_POINTS)
def test_a_server_killed_at_a_named_moment(point: str, sim: Sim, serve: Serve) -> None:
    """An upload or a create that was not answered happened whole or not at all."""
    server = serve([sim.url])
    client = server.start(BATCHYARD_FAULT=point)
    with pytest.raises(openai.APIConnectionError):
        file = client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    until(server.died)
    client = server.start()
    files, batches = list(client.files.list()), list(client.batches.list())
    assert len(files) == (point not in SERVER_POINTS[:4])
    assert len(batches) == (point == "create.after_commit")
    for file in files:
        assert client.files.content(file.id).read() == request_lines(LINES)
    if not files:
        files = [client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")]
    if not batches:
        created = client.batches.create(
            input_file_id=files[0].id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batches = [created]
    check(client, batches[0], sim, kills=1)


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_a_worker_killed_at_a_named_moment(point: str, sim: Sim, serve: Serve) -> None:
    """Whatever a worker was just doing, the next one goes on from what is recorded."""
    server = serve([sim.url])
    client = server.start(BATCHYARD_FAULT=point)
    file = client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    until(lambda: server.events("worker_lost") > 0)
    server.kill()
    client = server.start()
    # The fault strikes in each life of a worker, until the server is started without it.
    check(client, batch, sim, kills=1 + server.events("worker_lost"))


def kill_at_random(seed: int, kills: int, sim: Sim, server: Server) -> None:
    """Kill servers and workers while one batch runs, at moments that chance chooses."""
    chance = Random(seed)
    sim.set("latency", "lognormal:0.05")
    sim.set("faults", "500:0.02,reset:0.01")
    client = server.start()
    file = client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    for _ in range(kills):
        moment = chance.randrange(1, 60)
        for _ in range(moment):
            if client.batches.retrieve(batch.id).status in ENDED:
                break
        if chance.random() < 0.5:
            server.kill()
            client = server.start()
        else:
            worker = server.worker()
            try:
                worker.kill()
            except psutil.NoSuchProcess:
                continue
    check(client, batch, sim, kills=kills)


@pytest.mark.parametrize("seed", range(5))
def test_random_kills(seed: int, sim: Sim, serve: Serve) -> None:
    """Four kills at random moments, five times."""
    kill_at_random(seed, 4, sim, serve([sim.url]))


@pytest.mark.soak
@pytest.mark.timeout(36_000)
def test_many_random_kills(sim: Sim, serve: Serve) -> None:
    """As many as asked for."""
    for seed in range(int(os.environ.get("KILLS", "100")) // 4):
        kill_at_random(1_000 + seed, 4, sim, serve([sim.url]))


def test_sigterm_loses_nothing(sim: Sim, serve: Serve) -> None:
    """A server told to end ends by itself within seconds, and goes on when started again."""
    sim.set("latency", "fixed:0.2")
    server = serve([sim.url])
    client = server.start()
    file = client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )

    def has_some() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 0

    until(has_some)
    assert server.stop() == 0
    client = server.start()
    # What was at the upstream when the order came was waited for: nothing is asked twice.
    check(client, batch, sim, kills=0)


def test_a_frozen_worker_is_replaced_and_harmless(sim: Sim, serve: Serve) -> None:
    """A worker that stood still beyond its lease neither loses nor doubles anything."""
    sim.set("latency", "fixed:0.05")
    server = serve([sim.url], lease_seconds=1.0, workers=2)
    client = server.start()
    file = client.files.create(file=("a.jsonl", request_lines(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    frozen = server.worker()
    frozen.suspend()
    until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    frozen.resume()
    check(client, batch, sim, kills=1)


def test_a_second_server_is_refused(sim: Sim, serve: Serve) -> None:
    """One data folder, one server; the other says so."""
    server = serve([sim.url])
    server.start()
    second = Server(server.folder, [sim.url])
    with pytest.raises(AssertionError, match="Another server uses"):
        second.start()
    second.close()
