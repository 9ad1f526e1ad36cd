"""Azure's dialect: another way to say the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from tests.server.door import LINE, Caller, Door

VERSION = "api-version=2024-10-21"


def azure(caller: Caller, secret: str | None = None) -> AzureOpenAI:
    """The official client for Azure."""
    return AzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{caller.door.port}",
        api_key=secret or caller.secret,
        api_version="2024-10-21",
        max_retries=0,
        _strict_response_validation=True,
    )


def test_azures_client_drives_everything(caller: Caller) -> None:
    """Files and batches, by the path and the header that the client for Azure uses."""
    client = azure(caller)
    file = client.files.create(
        file=("a.jsonl", LINE),
        purpose="batch",
        extra_body={"expires_after": {"seconds": 1_209_600, "anchor": "created_at"}},
    )
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).read() == LINE
    assert [one.id for one in client.files.list()] == [file.id]
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.retrieve(batch.id).endpoint == "/chat/completions"
    assert [one.id for one in client.batches.list()] == [batch.id]
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.files.delete(file.id).deleted
    assert client.models.list().data
    with pytest.raises(openai.AuthenticationError):
        azure(caller, "by_wrong").files.list()


def test_azures_client_sends_a_file_in_parts(caller: Caller, tmp_path: Path) -> None:
    """Create, parts, completion and cancellation, each by Azure's path and header."""
    client = azure(caller)
    path = tmp_path / "in.jsonl"
    path.write_bytes(LINE)
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=len(LINE) // 3
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert client.files.content(upload.file.id).read() == LINE
    begun = client.uploads.create(
        bytes=1, filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    assert client.uploads.cancel(begun.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="'cancelled'"):
        client.uploads.parts.create(begun.id, data=b"x")


def test_azures_client_asks_twice(caller: Caller) -> None:
    """The same key makes one batch, one file and one upload; it is that of OpenAI's path too."""
    client = azure(caller)
    named = {"Idempotency-Key": "batch"}
    asked: dict[str, Any] = {"input_file_id": "file-x", "completion_window": "24h"}
    endpoint: dict[str, Any] = {"endpoint": "/v1/embeddings"}
    first, again = (
        client.batches.create(**asked, **endpoint, extra_headers=named) for _ in range(2)
    )
    assert first.id == again.id
    with pytest.raises(openai.BadRequestError) as raised:
        client.batches.create(**asked, endpoint="/v1/responses", extra_headers=named)
    assert raised.value.code == "idempotency_key_reused"
    with caller.sdk() as openais:
        assert openais.batches.create(**asked, **endpoint, extra_headers=named).id == first.id
        assert [first.id] == [one.id for one in openais.batches.list()]
    for make in (
        lambda: client.files.create(
            file=("a.jsonl", LINE), purpose="batch", extra_headers={"Idempotency-Key": "file"}
        ),
        lambda: client.uploads.create(
            bytes=1,
            filename="a.jsonl",
            mime_type="x",
            purpose="batch",
            extra_headers={"Idempotency-Key": "upload"},
        ),
    ):
        assert make().id == make().id


def test_azures_newer_path_needs_no_version(caller: Caller) -> None:
    """`/openai/v1` is OpenAI's API with either header."""
    url = f"http://127.0.0.1:{caller.door.port}/openai/v1/"
    client = OpenAI(base_url=url, api_key=caller.secret, max_retries=0)
    assert client.files.list().data == []
    nobody = Caller(caller.door, "", "")
    for headers, status in (
        ({"api-key": caller.secret}, 200),
        ({"api-key": caller.secret, "authorization": f"Bearer {caller.secret}"}, 200),
        ({"api-key": caller.secret, "authorization": "Bearer by_other"}, 401),
        ({"api-key": ""}, 401),
        ({}, 401),
    ):
        nobody.auth = headers
        assert nobody.ask("GET", "/openai/v1/files").status == status
    nobody.auth = {"api-key": caller.secret}
    assert nobody.ask("GET", "/v1/files").error == (401, None, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/openai/files?{VERSION}", 200),
        ("/openai/files", 404),
        ("/openai/v1/files", 200),
        (f"/openai/v1?{VERSION}", 404),
        (f"/openai/openai/files?{VERSION}", 404),
        (f"/openai//files?{VERSION}", 404),
        (f"/openai/../v1/files?{VERSION}", 404),
        (f"/%6fpenai/files?{VERSION}", 404),
        (f"/openai/healthz?{VERSION}", 404),
    ],
)
def test_only_azures_paths_are_azures(caller: Caller, path: str, status: int) -> None:
    """P11: no other spelling leads anywhere."""
    assert caller.ask("GET", path).status == status


def test_an_endpoint_without_its_version_is_azures(caller: Caller) -> None:
    """OpenAI's path refuses it, and shows the endpoints that there are."""
    refused = caller.create(endpoint="/chat/completions")
    assert refused.error == (400, "invalid_value", "endpoint")
    assert "'/chat/completions'" not in refused.json["error"]["message"].partition("are:")[2]
    asked = {"input_file_id": "file-x", "completion_window": "24h"}
    for endpoint, kept in (
        ("/chat/completions", "/chat/completions"),
        ("/v1/responses", "/responses"),
        ("/v1/embeddings", "/v1/embeddings"),
    ):
        made = caller.post(f"/openai/batches?{VERSION}", asked | {"endpoint": endpoint})
        assert made.json["endpoint"] == kept
    wrong = caller.post(f"/openai/batches?{VERSION}", asked | {"endpoint": "/embeddings"})
    assert wrong.error == (400, "invalid_value", "endpoint")


@pytest.fixture
def named_caller(tmp_path: Path) -> Iterator[Caller]:
    """A caller at a door whose errors have the names of the client's dialect."""
    door = Door(tmp_path, azure_errors=True)
    yield door.caller()
    door.close()


def test_errors_may_have_azures_names(named_caller: Caller) -> None:
    """Where the settings ask for it, and on Azure's paths alone."""
    assert named_caller.ask("GET", f"/openai/files/x?{VERSION}").error == (404, "notFound", "id")
    assert named_caller.ask("GET", "/v1/files/x").error == (404, None, "id")
    named_caller.auth = {}
    assert named_caller.ask("GET", f"/openai/files?{VERSION}").error == (401, "unauthorized", None)
