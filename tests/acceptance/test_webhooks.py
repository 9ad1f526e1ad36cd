"""A batch ends and a receiver hears of it, whatever is killed between."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from openai.types.webhooks.webhook_endpoint_with_secret import WebhookEndpointWithSecret

from tests.acceptance.processes import Server, Sim, batch_of, command, ended, request_lines, until
from tests.server.receiver import Receiver

Serve = Callable[..., Server]
# Struck here; the other named moments are struck in test_kills.
PUMP_POINTS = ["delivery.before_mark"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def listen(server: Server, receiver: Receiver) -> WebhookEndpointWithSecret:
    """Have a receiver told of all ends."""
    return server.client("key").webhooks.create(
        name="here",
        url=receiver.url,
        event_types=["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
    )


def test_ends_are_told(shared_sim: Sim, serve: Serve, receiver: Receiver) -> None:
    """Workers end batches, and the server tells of them at once, in any number of workers."""
    server = serve([shared_sim.url], webhook_private=True, workers=2)
    client = server.start()
    secret = listen(server, receiver).signing_secret
    for lines, type in ((request_lines(3), "batch.completed"), (b"nonsense\n", "batch.failed")):
        batch = batch_of(client, lines)
        came = receiver.next()
        event = client.webhooks.unwrap(came.body, came.headers, secret=secret)
        assert event.type == type
        assert event.data.id == batch.id  # type: ignore[union-attr]
        assert f"batch.{client.batches.retrieve(batch.id).status}" == type


@pytest.mark.parametrize("point", PUMP_POINTS)
def test_a_server_killed_before_it_has_noted_a_delivery(
    point: str, shared_sim: Sim, serve: Serve, receiver: Receiver
) -> None:
    """It tells again, under the same id, so that the receiver can know."""
    server = serve([shared_sim.url], webhook_private=True)
    client = server.start(BATCHYARD_FAULT=point)
    listen(server, receiver)
    batch_of(client, request_lines(3))
    first = receiver.next()
    until(server.died)
    server.start()
    again = receiver.next()
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body


def test_a_hanging_receiver_delays_no_batch(
    shared_sim: Sim, serve: Serve, receiver: Receiver
) -> None:
    """Batches end and the server stops while the receiver says nothing."""
    receiver.hang()
    server = serve([shared_sim.url], webhook_private=True)
    client = server.start()
    listen(server, receiver)
    for _ in range(6):
        assert ended(client, batch_of(client, request_lines(3))).status == "completed"
    receiver.next()
    assert server.stop() == 0


def test_a_host_is_named_in_the_settings(shared_sim: Sim, serve: Serve, receiver: Receiver) -> None:
    """It may be anywhere, without TLS; all others are as forbidden as ever."""
    server = serve([shared_sim.url], webhook_hosts=[f"127.0.0.1:{receiver.port}"])
    client = server.start()
    made = listen(server, receiver)
    assert client.webhooks.test(made.id, event_type="batch.failed").status_code == 200
    with pytest.raises(openai.BadRequestError, match="https"):
        client.webhooks.update(made.id, url="http://127.0.0.1:9/")


def webhooks(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchyard webhooks`."""
    return subprocess.run(
        command("webhooks", *words, "--data", str(data)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_deliveries_are_shown_and_made_again(
    shared_sim: Sim, serve: Serve, receiver: Receiver
) -> None:
    """The log says what was answered; a replay goes out at once from the server that runs."""
    receiver.answers = [410, 200]
    server = serve([shared_sim.url], webhook_private=True)
    client = server.start()
    made = listen(server, receiver)
    batch = batch_of(client, request_lines(3))
    first = receiver.next()
    until(lambda: "disabled (410 Gone)" in webhooks(server.data, "list").stdout)
    listed = webhooks(server.data, "list").stdout
    assert made.id in listed
    assert made.signing_secret not in listed
    assert "team=a" not in listed
    logged = webhooks(server.data, "deliveries", "--state", "given_up").stdout
    for part in (batch.id, made.id, "batch.completed", "given_up", "attempts 1", "status 410"):
        assert part in logged
    refused = webhooks(server.data, "replay", batch.id)
    assert (refused.returncode, "enabled" in refused.stderr) == (1, True)
    client.webhooks.update(made.id, name="again")
    replayed = webhooks(server.data, "replay", "--given-up")
    assert (replayed.returncode, replayed.stdout) == (0, "1 to be delivered again, now\n")
    assert receiver.next().headers["webhook-id"] == first.headers["webhook-id"]
    until(lambda: "delivered" in webhooks(server.data, "deliveries").stdout)
    server.stop()
    replayed = webhooks(server.data, "replay", batch.id)
    assert replayed.stdout == "1 to be delivered again, when the server runs\n"
    assert webhooks(server.data, "replay").returncode == 2
