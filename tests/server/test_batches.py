"""Batches and models, as the official client uses them; no worker stands behind this door."""

from collections.abc import Iterator
from typing import Literal

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from batchyard.wire.objects import BatchStatus
from tests.server.door import Caller

Endpoint = Literal["/v1/chat/completions", "/v1/embeddings"]


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    with caller.sdk() as client:
        yield client


def create(client: OpenAI, input_file_id: str = "file-none") -> Batch:
    """A batch that waits for a worker."""
    return client.batches.create(
        input_file_id=input_file_id, endpoint="/v1/embeddings", completion_window="24h"
    )


def test_a_batch_begins_in_validation(client: OpenAI, caller: Caller) -> None:
    """What was asked for comes back, with its window as a time; the workers hear of it."""
    file, rings = caller.upload(), caller.door.rings
    batch = client.batches.create(
        input_file_id=file,
        endpoint="/v1/embeddings",
        completion_window="24h",
        metadata={"night": "1"},
        output_expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert rings + 1 == caller.door.rings
    assert ("validating", file, "/v1/embeddings", "24h", {"night": "1"}) == (
        batch.status,
        batch.input_file_id,
        batch.endpoint,
        batch.completion_window,
        batch.metadata,
    )
    assert (batch.expires_at or 0) - batch.created_at == 86_400
    assert batch.request_counts is not None
    assert tuple(batch.request_counts.model_dump().values()) == (0, 0, 0)
    assert batch == client.batches.retrieve(batch.id)
    assert [batch] == list(client.batches.list())


def test_lists_are_paged(client: OpenAI) -> None:
    """Newest first, page by page, nothing twice."""
    ids = [create(client).id for _ in range(5)]
    assert ids[::-1] == [batch.id for batch in client.batches.list(limit=2)]
    page = client.batches.list(limit=5)
    assert (page.has_more, len(page.data)) == (False, 5)


def test_twenty_batches_are_a_page(caller: Caller) -> None:
    """That many come unless another number is asked for."""
    ids = [caller.create().json["id"] for _ in range(21)]
    page = caller.ask("GET", "/v1/batches").json
    assert (True, ids[20], ids[1]) == (page["has_more"], page["first_id"], page["last_id"])
    assert len(page["data"]) == 20


def test_a_batch_is_cancelled_once(client: OpenAI, caller: Caller) -> None:
    """The second cancel is answered with the same object."""
    batch = create(client)
    rings = caller.door.rings
    first, second = client.batches.cancel(batch.id), client.batches.cancel(batch.id)
    assert rings < caller.door.rings
    assert ("cancelling", first) == (first.status, second)
    assert (first.cancelling_at or 0) >= first.created_at
    caller.door.end(batch.id, "cancelled")
    assert client.batches.cancel(batch.id).status == "cancelled"


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense"])
def test_cancel_has_no_body(caller: Caller, body: bytes) -> None:
    """Clients send nothing or an empty object; nobody looks."""
    id = caller.create().json["id"]
    headers = {"content-type": "application/json"}
    answer = caller.ask("POST", f"/v1/batches/{id}/cancel", body, headers)
    assert (answer.status, answer.json["status"]) == (200, "cancelling")


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
def test_what_has_ended_cannot_be_cancelled(caller: Caller, status: BatchStatus) -> None:
    """P8: 409, and a client that would try again is told not to."""
    asked: list[httpx.Request] = []
    hooks = httpx.Client(event_hooks={"request": [asked.append]})
    with caller.sdk(max_retries=2, http_client=hooks) as client:
        batch = create(client)
        caller.door.end(batch.id, status)
        assert status == client.batches.retrieve(batch.id).status
        asked.clear()
        with pytest.raises(openai.ConflictError) as raised:
            client.batches.cancel(batch.id)
    assert len(asked) == 1
    assert raised.value.body == {
        "message": f"Cannot cancel a batch with status '{status}'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_a_failed_batch_tells_why(client: OpenAI, caller: Caller) -> None:
    """Errors are a list with code, message, param and line."""
    id = create(client).id
    caller.door.end(id, "failed")
    errors = client.batches.retrieve(id).errors
    assert errors is not None
    assert errors.data is not None
    assert [(one.code, one.message, one.param, one.line) for one in errors.data] == [
        ("empty_file", "The file is empty.", None, None)
    ]


def test_a_missing_batch_is_not_found(client: OpenAI) -> None:
    """Retrieve and cancel name the id."""
    for call in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_x'"):
            call("batch_x")


def test_a_refusal_has_a_request_id(client: OpenAI) -> None:
    """What support asks for first is on the exception."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.batches.create(
            input_file_id="file-none",
            endpoint="/v1/nothing",  # type: ignore[arg-type]
            completion_window="24h",
        )
    assert (raised.value.request_id or "").startswith("req_")
    assert (raised.value.code, raised.value.param) == ("invalid_value", "endpoint")


def test_models_are_those_of_the_upstreams(client: OpenAI) -> None:
    """List and retrieve, also where the name has a slash."""
    assert [model.id for model in client.models.list()] == ["tiny", "org/tiny"]
    assert client.models.retrieve("org/tiny").id == "org/tiny"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("huge")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert raised.value.body["message"] == "The model 'huge' does not exist"  # type: ignore[index]


def test_models_are_found_with_a_bare_slash(caller: Caller) -> None:
    """Not every client quotes the name."""
    assert caller.ask("GET", "/v1/models/org/tiny").json["id"] == "org/tiny"
