"""`batchyard quota` and `batchyard why`, beside a server that runs and over its API."""

import os
import subprocess

from tests.acceptance.conftest import House
from tests.acceptance.processes import batch_of, command, ended, request_lines, until


def say(house: House, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command."""
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")} | environment,
    )


def test_a_quota_holds_a_batch_up_until_it_is_raised(house: House) -> None:
    """Who waits names who holds; both ways of asking tell the same; then it goes on."""
    data = ("--data", str(house.server.data))
    house.sim.set("faults", "hang:1")
    assert say(house, "quota", "set", "m1", "1_000", *data).returncode == 0
    try:
        holder = batch_of(house.client, request_lines(30))
        until(lambda: holder.id in say(house, "quota", *data).stdout)
        waiter = batch_of(house.client, request_lines(30))
        until(lambda: "waiting_quota" in say(house, "why", waiter.id, *data).stdout)
        asked = say(
            house, "why", waiter.id, OPENAI_BASE_URL=house.server.url, OPENAI_API_KEY="key"
        ).stdout
        assert asked.startswith(f"{waiter.id} in_progress; 0 of 30 done; waiting_quota: ")
        assert f"of 1,000 enqueued tokens of m1 are held by {holder.id}" in asked
        table = say(house, "quota", *data).stdout
        assert "m1: limit 1,000, used " in table
        assert f"held by {holder.id}" in table
        assert f"awaited by {waiter.id}" in table
        house.sim.set("faults", "")
        house.client.batches.cancel(holder.id)
        assert ended(house.client, waiter).status == "completed"
    finally:
        assert say(house, "quota", "set", "m1", "default", *data).returncode == 0
    assert f"{holder.id} cancelled" in say(house, "why", holder.id, *data).stdout


def test_a_batch_that_can_never_fit_fails(house: House) -> None:
    """With OpenAI's code, and what to do."""
    data = ("--data", str(house.server.data))
    say(house, "quota", "set", "*", "10", *data)
    try:
        batch = ended(house.client, batch_of(house.client, request_lines(30)))
    finally:
        say(house, "quota", "set", "*", "default", *data)
    assert batch.errors is not None
    ((code, message),) = [(one.code, one.message) for one in batch.errors.data or []]
    assert (batch.status, code) == ("failed", "token_limit_exceeded")
    assert "Limit: 10 enqueued tokens." in (message or "")


def test_what_is_wrong_is_said(house: House) -> None:
    """A wrong number, an unknown project or batch, a server that is not there."""
    data = ("--data", str(house.server.data))
    for words, message in (
        (("quota", "set", "m1", "many", *data), "give a whole number"),
        (("quota", "--project", "nobody", *data), "There is no project 'nobody'"),
        (("why", "batch_x", *data), "No batch found with id 'batch_x'."),
        (("why", "batch_x", "--to", house.server.url), "You didn't provide an API key"),
        (("why", "batch_x", "--url", "http://127.0.0.1:9/v1"), "No connection to 127.0.0.1:9"),
    ):
        ran = say(house, *words)
        code = 4 if "key" in message else 1
        assert (ran.returncode, message in ran.stderr) == (code, True), ran.stderr


def test_why_lines_failed_is_told(house: House) -> None:
    """Each cause with its count and one line, while the batch runs, after it, and in the log."""
    data = ("--data", str(house.server.data))
    house.sim.set("faults", "400:1")
    try:
        batch = ended(house.client, batch_of(house.client, request_lines(7)))
    finally:
        house.sim.set("faults", "")
    told = say(house, "why", batch.id, *data).stdout.splitlines()
    assert told[0] == f"{batch.id} completed; 7 of 7 done, 7 failed"
    assert told[1].startswith("  7 lines failed with ")
    assert " (HTTP 400), the first is line " in told[1]
    extras = batch.model_dump()["batchyard"]
    assert [(one["status"], one["count"]) for one in extras["failures"]] == [(400, 7)]
