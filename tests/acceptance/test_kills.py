"""SIGKILL at every named moment and at random ones: nothing lost, nothing twice."""

import os
import re
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import openai
import psutil
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.acceptance.processes import (
    ENDED,
    Server,
    Sim,
    batch_of,
    command,
    ended,
    has_some,
    request_lines,
    results_of,
    until,
)
from tests.acceptance.test_webhooks import PUMP_POINTS
from tests.client.points import CAMPAIGN_POINTS, RARE_POINTS

Serve = Callable[..., Server]
SOURCES = Path(__file__).parents[2] / "src" / "batchyard"
LINES = 600
# What may be in flight, or answered and not yet recorded, when a process is killed: no line more
# than once for each. The lane of a new worker begins with 2 in flight, is at most four times as
# wide after each answer's time, and a commit group takes 0.2 s: of these files that may be all.

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


def test_every_named_moment_is_tried() -> None:
    """Whoever names another moment has it struck here too."""
    named = set()
    for path in SOURCES.rglob("*.py"):
        named |= set(re.findall(r'reach\("([a-z_.]+)"\)', path.read_text()))
    rare = [point for _, point in RARE_POINTS]
    assert named == {*SERVER_POINTS, *WORKER_POINTS, *PUMP_POINTS, *CAMPAIGN_POINTS, *rare}


def check(client: OpenAI, batch: Batch, sim: Sim, *, kills: int) -> None:
    """Every line once, counts exact, calls within the bound, by the simulated upstream's log."""
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    assert (batch.status, errors) == ("completed", [])
    ids = Counter(str(line["custom_id"]) for line in output)
    assert ids == Counter(f"c{i}" for i in range(LINES))
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (LINES, LINES, 0)
    said = [line["response"]["body"]["usage"] for line in output]  # type: ignore[index]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(one["prompt_tokens"] for one in said)
    assert batch.usage.output_tokens == sum(one["completion_tokens"] for one in said)
    assert batch.usage.total_tokens == sum(one["total_tokens"] for one in said)
    served = sim.served()
    assert len(served) == LINES
    assert max(served.values()) <= 1 + kills


@pytest.mark.parametrize("point", SERVER_POINTS)
def test_a_server_killed_at_a_named_moment(point: str, sim: Sim, serve: Serve) -> None:
    """An upload or a create that was not answered happened whole or not at all."""
    server = serve([sim.url])
    client = server.start(BATCHYARD_FAULT=point)
    with pytest.raises(openai.APIConnectionError):
        batch_of(client, request_lines(LINES))
    until(server.died)
    client = server.start()
    files, batches = list(client.files.list()), list(client.batches.list())
    if point != "create.after_commit":
        assert not batches
        assert len(files) == (point not in SERVER_POINTS[:4])
        batches = [batch_of(client, request_lines(LINES))]
    for file in client.files.list():
        if file.purpose == "batch":
            assert client.files.content(file.id).read() == request_lines(LINES)
    (batch,) = batches
    check(client, batch, sim, kills=1)


@pytest.mark.parametrize("point", ["create.before_commit", "create.after_commit"])
def test_a_create_that_a_kill_cut_short_is_sent_again(point: str, sim: Sim, serve: Serve) -> None:
    """With the same Idempotency-Key it makes the batch that it made, or makes it now."""
    server = serve([sim.url])
    client = server.start(BATCHYARD_FAULT=point)
    named = {"Idempotency-Key": "the only one"}
    lines = request_lines(LINES)
    with pytest.raises(openai.APIConnectionError):
        batch_of(client, lines, named)
    until(server.died)
    client = server.start()
    (file,) = client.files.list()
    before = [batch.id for batch in client.batches.list()]
    assert len(before) == (point == "create.after_commit")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=named,
    )
    assert before in ([], [batch.id])
    check(client, batch, sim, kills=1)
    assert [batch.id] == [one.id for one in client.batches.list()]


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_a_worker_killed_at_a_named_moment(point: str, sim: Sim, serve: Serve) -> None:
    """Whatever a worker was just doing, the next one goes on from what is recorded."""
    server = serve([sim.url])
    client = server.start(BATCHYARD_FAULT=point)
    batch = batch_of(client, request_lines(LINES))
    until(lambda: server.events("worker_lost") > 0)
    # The fault strikes in each life of a worker, until the server is started without it.
    server.kill()
    client = server.start()
    check(client, batch, sim, kills=1 + server.events("worker_lost"))


def kill_at_random(seed: int, kills: int, sim: Sim, server: Server) -> None:
    """Kill servers and workers while one batch runs, at moments that chance chooses."""
    chance = Random(seed)
    sim.set("latency", "lognormal:0.1")
    sim.set("faults", "500:0.02,reset:0.01")
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    for number in range(kills):
        if number % 2:
            # A shard that loses three workers in a row, and gets nowhere, would be given up.
            until(partial(moved_on, client, batch))
        server.pass_by(chance.uniform(0.0, 0.5))
        if chance.random() < 0.25:
            server.kill()
            client = server.start()
        else:
            server.worker().kill()
    check(client, batch, sim, kills=kills)


def moved_on(client: OpenAI, batch: Batch) -> bool:
    """Whether a batch has ended or got further than it was."""
    now = client.batches.retrieve(batch.id)
    assert now.request_counts is not None
    assert batch.request_counts is not None
    further = now.request_counts.completed > batch.request_counts.completed
    batch.request_counts = now.request_counts
    return further or now.status in ENDED


@pytest.mark.parametrize("seed", range(3))
def test_random_kills(seed: int, sim: Sim, serve: Serve) -> None:
    """Five kills at random moments, three times."""
    kill_at_random(seed, 5, sim, serve([sim.url]))


@pytest.mark.soak
def test_many_random_kills(sim: Sim, serve: Serve) -> None:
    """As many as asked for."""
    server = serve([sim.url])
    for seed in range(int(os.environ.get("KILLS", "100")) // 5):
        kill_at_random(1_000 + seed, 5, sim.calm(), server)
        assert server.stop() == 0


@pytest.mark.timeout(150)
def test_a_line_that_ends_its_worker_each_time_is_given_up(sim: Sim, serve: Serve) -> None:
    """After two losses, and three more with this line out alone; others are asked meanwhile."""
    sim.set("latency", "fixed:60")
    server = serve([sim.url])
    client = server.start()
    batch = batch_of(client, request_lines(1))
    for left in (4, 3, 2, 1, 0):
        until(lambda: sim.in_flight() > 0)
        if not left:
            sim.set("latency", "instant")
        server.worker().kill()
        until(lambda: sim.in_flight() == 0)
    batch = ended(client, batch)
    output, errors = results_of(client, batch)
    assert [line["error"]["code"] for line in errors] == ["worker_lost"]  # type: ignore[index]
    assert output == []
    output, errors = results_of(client, ended(client, batch_of(client, request_lines(9))))
    assert (len(output), errors) == (9, [])


@pytest.mark.timeout(150)
def test_lost_workers_fail_no_line_of_many_batches(sim: Sim, serve: Serve) -> None:
    """Three deaths with shards of six batches in hand, most of them never sent."""
    sim.set("latency", "fixed:60")
    server = serve([sim.url])
    client = server.start()
    batches = [batch_of(client, request_lines(20)) for _ in range(6)]
    for batch in batches:
        until(lambda id=batch.id: client.batches.retrieve(id).status == "in_progress")  # type: ignore[misc]
    for left in (2, 1, 0):
        until(lambda: sim.in_flight() > 0)
        if not left:
            sim.set("latency", "instant")
        server.worker().kill()
        until(lambda: sim.in_flight() == 0)
    for batch in batches:
        output, errors = results_of(client, ended(client, batch))
        assert (len(output), errors) == (20, [])


def test_killed_servers_are_no_fault_of_a_shard(sim: Sim, serve: Serve) -> None:
    """However often the machine goes down, no line is given up for it."""
    sim.set("latency", "fixed:60")
    server = serve([sim.url])
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    for left in (2, 1, 0):
        until(lambda: sim.in_flight() > 0)
        if not left:
            sim.set("latency", "instant")
        worker = server.worker()
        server.kill()
        worker.kill()
        until(lambda: sim.in_flight() == 0)
        client = server.start()
    check(client, batch, sim, kills=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_loses_nothing(number: signal.Signals, sim: Sim, serve: Serve) -> None:
    """A server told to end, or whose terminal is closed, ends by itself, and goes on later."""
    sim.set("latency", "fixed:0.2")
    server = serve([sim.url])
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    until(lambda: has_some(client, batch))
    assert server.stop(number) == 0
    client = server.start()
    # What was at the upstream when the order came was waited for: nothing is asked twice.
    check(client, batch, sim, kills=0)


def test_sigterm_does_not_wait_for_a_hanging_upstream(sim: Sim, serve: Serve) -> None:
    """It ends within ten seconds all the same; what hung is asked again."""
    sim.set("faults", "hang@1")
    server = serve([sim.url])
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    until(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    assert server.stop() == 0
    sim.set("faults", "")
    client = server.start()
    check(client, batch, sim, kills=0)


def freeze(server: Server) -> psutil.Process:
    """Stop a worker for a while, though not in the middle of a write, which would stop them all."""
    worker = server.worker()
    while True:
        worker.suspend()
        with closing(sqlite3.connect(server.data / "batchyard.sqlite", timeout=1.0)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                worker.resume()
            else:
                return worker


def test_a_frozen_worker_is_replaced_and_harmless(sim: Sim, serve: Serve) -> None:
    """A worker that stood still beyond its lease neither loses nor doubles anything."""
    sim.set("latency", "fixed:0.05")
    server = serve([sim.url], lease_seconds=1.0, workers=2)
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    until(lambda: has_some(client, batch))
    frozen = freeze(server)
    until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    frozen.resume()
    check(client, batch, sim, kills=1)


@pytest.mark.parametrize("how", ["freeze", "hang"])
def test_a_worker_that_stops_inside_a_write_is_killed(how: str, sim: Sim, serve: Serve) -> None:
    """All others would wait for it: it is replaced, and nothing is lost or doubled."""
    sim.set("latency", "fixed:0.05")
    server = serve([sim.url], worker_silence_seconds=3.0, workers=2)
    client = server.start(
        BATCHYARD_FAULT=f"record.before_commit:2:{how}",
        BATCHYARD_FAULT_ONCE=str(server.folder / "struck"),
    )
    batch = batch_of(client, request_lines(LINES))
    until(lambda: server.events("worker_silent") > 0)
    check(client, batch, sim, kills=server.events("worker_silent"))
    assert server.events("worker_lost") == server.events("worker_silent")


def test_a_lone_frozen_worker_goes_on_when_it_thaws(sim: Sim, serve: Serve) -> None:
    """Nobody has taken its place: it signs on anew, and what it held is done once."""
    sim.set("latency", "fixed:0.05")
    server = serve([sim.url], lease_seconds=0.5)
    client = server.start()
    batch = batch_of(client, request_lines(LINES))
    until(lambda: has_some(client, batch))
    frozen = freeze(server)
    server.pass_by(1.0)
    frozen.resume()
    check(client, batch, sim, kills=1)


def test_a_second_server_is_refused(sim: Sim, serve: Serve) -> None:
    """One data folder, one server; the other says so."""
    server = serve([sim.url])
    server.start()
    second = subprocess.run(
        command("serve", "--port", "0", "--data", str(server.data), "--upstream", sim.url),
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert second.returncode == 1
    assert f"Another server uses {server.data}" in second.stderr
