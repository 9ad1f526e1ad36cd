"""Drives what an `openai` package can do against a server; says what it drove as JSON.

Run with the package to be driven first on PYTHONPATH. It uses what all versions have, and asks
whether the rest is there: `python drive.py URL KEY LIMITED_KEY SLOW_URL`.
"""

import asyncio
import functools
import hashlib
import inspect
import json
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import openai

ENDED = ("completed", "failed", "expired", "cancelled")
LINES = b"".join(
    json.dumps(
        {
            "custom_id": f"c{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m1", "messages": [{"role": "user", "content": f"line {number}"}]},
        }
    ).encode()
    + b"\n"
    for number in range(40)
)
MONTH = {"anchor": "created_at", "seconds": 2_592_000}
RESOURCES = (
    *("files", "batches", "models", "uploads", "uploads.parts"),
    *("webhooks", "webhooks.event_types"),
)
CALLED: set[str] = set()
PAUSE = threading.Event()


def methods(resource: Any) -> list[str]:
    """The names of what a resource can do."""
    return [
        name
        for name, found in inspect.getmembers(type(resource), callable)
        if not name.startswith("_")
    ]


def watch(resource: Any, path: str) -> list[str]:
    """Note each call of a resource's methods from now on; returns what could be called."""
    cls = type(resource)
    names = methods(resource)
    for name in names:
        setattr(cls, name, noting(getattr(cls, name), f"{path}.{name}"))
    return [f"{path}.{name}" for name in names]


def noting(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method, which says that it was called."""

    @functools.wraps(method)
    def noted(*args: Any, **kwargs: Any) -> Any:
        CALLED.add(name)
        return method(*args, **kwargs)

    return noted


@contextmanager
def raises(cls: type[openai.APIStatusError], status: int, **expected: Any) -> Iterator[None]:
    """What is done inside is refused in exactly this way."""
    try:
        yield
    except openai.APIStatusError as error:
        assert type(error) is cls, (type(error), error)
        assert error.status_code == status, error
        assert error.request_id, error
        assert isinstance(error.body, dict), error.body
        assert sorted(error.body) == ["code", "message", "param", "type"], error.body
        for name, value in expected.items():
            assert error.body[name] == value, error.body
    else:
        raise AssertionError(f"nothing was refused; expected {cls.__name__}")


def drive_models(client: Any) -> None:
    """Models: list, retrieve; deleting is not for us."""
    names = [model.id for model in client.models.list()]
    assert {"m1", "m2"} <= set(names), names
    assert client.models.retrieve("m1").id == "m1"
    with raises(openai.NotFoundError, 404, code="model_not_found"):
        client.models.retrieve("none/such")
    with raises(openai.APIStatusError, 405, code="method_not_supported"):
        client.models.delete("m1")


def drive_files(client: Any, folder: Path) -> None:
    """Files: create in all forms, list and page, retrieve, content in all forms, delete."""
    path = folder / "lines.jsonl"
    path.write_bytes(LINES)
    made = [
        client.files.create(file=path, purpose="batch"),
        client.files.create(file=("x.jsonl", LINES), purpose="batch", expires_after=MONTH),
        client.files.create(file=("x.jsonl", LINES, "application/jsonl"), purpose="batch"),
        client.files.create(file=("ü ß.txt", b"some"), purpose="user_data"),
    ]
    with path.open("rb") as stream:
        made.append(client.files.create(file=stream, purpose="batch"))
    assert made[1].expires_at == made[1].created_at + MONTH["seconds"]
    assert [one.filename for one in made][:4] == ["lines.jsonl", "x.jsonl", "x.jsonl", "ü ß.txt"]
    ids = [one.id for one in made]
    assert [one.id for one in client.files.list(limit=2)][:5] == ids[::-1]
    oldest_first = [one.id for one in client.files.list(limit=1, order="asc", purpose="batch")]
    assert [id for id in oldest_first if id in ids] == [ids[0], ids[1], ids[2], ids[4]]
    page = client.files.list(limit=2)
    assert page.has_next_page()
    assert [one.id for one in page.get_next_page().data] == [ids[2], ids[1]]
    assert client.files.retrieve(ids[0]) == client.files.wait_for_processing(ids[0])
    drive_content(client, ids[0], folder)
    with raises(openai.BadRequestError, 400):
        client.files.content(ids[3])
    for id in ids:
        deleted = client.files.delete(id)
        assert (deleted.id, deleted.object, deleted.deleted) == (id, "file", True)
    with raises(openai.NotFoundError, 404, param="id"):
        client.files.delete(ids[0])
    with raises(openai.NotFoundError, 404):
        client.files.retrieve(ids[0])
    with raises(openai.BadRequestError, 400, code="invalid_value"):
        client.files.create(file=("x.jsonl", LINES), purpose="none")
    with raises(openai.BadRequestError, 400, code="integer_below_min_value", param="limit"):
        client.files.list(limit=0)


def drive_content(client: Any, id: str, folder: Path) -> None:
    """The content of a file, whole and streamed, raw and with headers."""
    content = client.files.content(id)
    assert (content.text, content.content) == (LINES.decode(), LINES)
    assert b"".join(client.files.content(id).iter_bytes(100)) == LINES
    assert [json.loads(line) for line in client.files.content(id).iter_lines()]
    client.files.content(id).write_to_file(folder / "written")
    assert (folder / "written").read_bytes() == LINES
    with client.files.with_streaming_response.content(id) as response:
        assert response.headers["content-type"] == "application/jsonl"
        assert b"".join(response.iter_bytes(1_000)) == LINES
    with client.files.with_streaming_response.content(id) as response:
        response.stream_to_file(folder / "streamed")
    assert (folder / "streamed").read_bytes() == LINES
    ranged = client.files.content(id, extra_headers={"Range": "bytes=5-9"})
    assert (ranged.response.status_code, ranged.content) == (206, LINES[5:10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert client.files.retrieve_content(id) == LINES.decode()


def drive_headers(client: Any) -> None:
    """What OpenAI says in headers, as `with_raw_response` shows it."""
    raw = client.files.with_raw_response.list(limit=1)
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.headers["openai-version"] == "2020-10-01"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["openai-organization"]
    for name in ("limit", "remaining", "reset"):
        assert raw.headers[f"x-ratelimit-{name}-requests"]
    assert raw.parse().object == "list"
    assert client.batches.list(limit=1)._request_id
    assert client.models.with_raw_response.list().parse().data


def drive_batches(client: Any) -> None:
    """Batches: create, list and page, retrieve until complete, cancel; both files."""
    file = client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    words = {"input_file_id": file.id, "endpoint": "/v1/chat/completions"}
    batch = client.batches.create(
        **words,
        completion_window="24h",
        metadata={"who": "sdk"},
        output_expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert (batch.status, batch.metadata) == ("validating", {"who": "sdk"})
    others = [client.batches.create(**words, completion_window="24h") for _ in range(3)]
    assert [one.id for one in client.batches.list(limit=2)][:4] == [
        *(one.id for one in others[::-1]),
        batch.id,
    ]
    batch = ended(client, batch.id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (40, 40, 0)
    lines = list(client.files.content(batch.output_file_id).iter_lines())
    assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(
        f"c{number}" for number in range(40)
    )
    output = client.files.retrieve(batch.output_file_id)
    assert (output.purpose, output.expires_at - output.created_at) == ("batch_output", 3_600)
    with raises(openai.ConflictError, 409):
        client.batches.cancel(batch.id)
    for one in others:
        ended(client, one.id)
    drive_broken(client, words)


def drive_broken(client: Any, words: dict[str, str]) -> None:
    """Batches that are refused, fail, or are cancelled."""
    with raises(openai.NotFoundError, 404):
        client.batches.retrieve("batch_none")
    with raises(openai.NotFoundError, 404):
        client.batches.cancel("batch_none")
    with raises(openai.BadRequestError, 400, param="endpoint", code="invalid_value"):
        client.batches.create(**words | {"endpoint": "/v1/none"}, completion_window="24h")
    assert list(client.batches.list(after="batch_none")) == []
    bad = client.files.create(file=("bad.jsonl", b"{}\nnone\n"), purpose="batch")
    failed = ended(
        client,
        client.batches.create(**words | {"input_file_id": bad.id}, completion_window="24h").id,
    )
    assert failed.status == "failed"
    assert {1, 2} == {error.line for error in failed.errors.data}
    # Of a model that takes a minute, so that none ends before its cancel comes.
    thought = LINES.replace(b'"m1"', b'"thinker"')
    slow = client.files.create(file=("slow.jsonl", thought), purpose="batch")
    running = client.batches.create(**words | {"input_file_id": slow.id}, completion_window="24h")
    cancelled = client.batches.cancel(running.id)
    assert cancelled.status in ("cancelling", "cancelled")
    assert ended(client, cancelled.id).status == "cancelled"


def drive_uploads(client: Any, folder: Path) -> None:
    """Uploads: by hand in two parts, in chunks by the client, cancelled."""
    asked = {"filename": "x.jsonl", "purpose": "batch", "mime_type": "application/jsonl"}
    upload = client.uploads.create(bytes=len(LINES), **asked)
    assert (upload.object, upload.status, upload.bytes) == ("upload", "pending", len(LINES))
    second = client.uploads.parts.create(upload.id, data=LINES[100:])
    first = client.uploads.parts.create(upload.id, data=LINES[:100])
    assert (first.object, first.upload_id) == ("upload.part", upload.id)
    done = client.uploads.complete(
        upload.id, part_ids=[first.id, second.id], md5=hashlib.md5(LINES).hexdigest()
    )
    assert (done.status, done.file.filename) == ("completed", "x.jsonl")
    assert client.files.content(done.file.id).content == LINES
    path = folder / "chunked.jsonl"
    path.write_bytes(LINES)
    chunked = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=1_000
    )
    assert (chunked.status, chunked.file.bytes) == ("completed", len(LINES))
    assert client.files.content(chunked.file.id).content == LINES
    upload = client.uploads.create(bytes=10, expires_after=MONTH, **asked)
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with raises(openai.NotFoundError, 404):
        client.uploads.cancel("upload_none")


def drive_refusals(client: Any, limited_key: str, slow_url: str) -> None:
    """Who asks with a bad key, a limited one, or too often."""
    with raises(openai.AuthenticationError, 401, code="invalid_api_key"):
        client.with_options(api_key="wrong").models.list()
    limited = client.with_options(api_key=limited_key)
    assert list(limited.files.list()) is not None
    with raises(openai.PermissionDeniedError, 403):
        limited.batches.list()
    slow = client.with_options(base_url=slow_url)
    with suppress(openai.RateLimitError):
        slow.models.list()
    with raises(openai.RateLimitError, 429, code="rate_limit_exceeded"):
        slow.models.list()


def drive_admin(client: Any, key: str) -> None:
    """What is asked with the key of an administrator: usage, costs, limits."""
    organization = client.with_options(admin_api_key=key).admin.organization
    day = int(time.time()) // 86_400 * 86_400
    used = organization.usage.completions(start_time=day, group_by=["model"])
    (result,) = used.data[0].results
    assert (result.model, result.input_tokens > 0) == ("m1", True)
    assert organization.usage.embeddings(start_time=day).data[0].results == []
    assert organization.usage.costs(start_time=day).data[0].object == "bucket"
    limits = list(organization.projects.rate_limits.list_rate_limits("proj_default", limit=1))
    assert {"m1", "m2"} <= {one.model for one in limits}


class Receiver(ThreadingHTTPServer):
    """Takes what is delivered to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Delivery)
        self.came: SimpleQueue[tuple[bytes, dict[str, str]]] = SimpleQueue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/hook"


class Delivery(BaseHTTPRequestHandler):
    """One delivery, which is taken at once."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep the body as it came, and the headers."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.came.put((body, dict(self.headers.items())))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def drive_webhooks(client: Any) -> None:
    """A batch that ends is told of, signed so that the client takes it and no false one."""
    receiver = Receiver()
    asked = {"name": "sdk", "url": receiver.url, "event_types": ["batch.completed"]}
    if hasattr(client.webhooks, "create"):
        id, secret = drive_endpoints(client, receiver, asked)
    else:
        made = client.post("/webhook_endpoints", body=asked, cast_to=dict[str, Any])
        id, secret = made["id"], made["signing_secret"]
    file = client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    words = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = client.batches.create(input_file_id=file.id, **words)
    body, headers = receiver.came.get(timeout=30)
    event = client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.object) == ("batch.completed", "event"), event
    assert event.data.id == batch.id
    client.webhooks.verify_signature(body, headers, secret=secret)
    try:
        client.webhooks.unwrap(body + b" ", headers, secret=secret)
    except openai.InvalidWebhookSignatureError:
        pass
    else:
        raise AssertionError("a false signature was taken")
    client.delete(f"/webhook_endpoints/{id}", cast_to=dict[str, Any])
    receiver.shutdown()
    receiver.server_close()


def drive_endpoints(client: Any, receiver: Receiver, asked: dict[str, Any]) -> tuple[str, str]:
    """Webhook endpoints: all that the client can ask; returns id and secret of one that stays."""
    hooks = client.webhooks
    assert "batch.completed" in hooks.event_types.list().data
    others = [hooks.create(**asked | {"name": f"other {number}"}) for number in range(3)]
    made = hooks.create(**asked)
    assert made.signing_secret.startswith("whsec_")
    assert [one.id for one in hooks.list(limit=2)][:4] == [
        made.id,
        *(one.id for one in others[::-1]),
    ]
    assert hooks.retrieve(made.id).url == receiver.url
    changed = hooks.update(made.id, name="changed")
    assert (changed.name, changed.event_types) == ("changed", ["batch.completed"])
    secret: str = hooks.rotate_secret(
        made.id, keep_old_secret_active_for_24_hours=True
    ).signing_secret
    assert secret != made.signing_secret
    tested = hooks.test(made.id, event_type="batch.completed")
    assert (tested.status_code, tested.success) == (200, True)
    body, headers = receiver.came.get(timeout=30)
    for one in (secret, made.signing_secret):
        assert hooks.unwrap(body, headers, secret=one).type == "batch.completed"
    for one in others:
        deleted = hooks.delete(one.id)
        assert (deleted.object, deleted.deleted) == ("webhook_endpoint.deleted", True)
    with raises(openai.NotFoundError, 404):
        hooks.retrieve(others[0].id)
    with raises(openai.BadRequestError, 400):
        hooks.create(**asked | {"event_types": ["none"]})
    return made.id, secret


async def drive_async(url: str, key: str) -> None:
    """The asynchronous client: pages, content and errors."""
    async with openai.AsyncOpenAI(
        base_url=url, api_key=key, max_retries=0, _strict_response_validation=True
    ) as client:
        files = await asyncio.gather(
            *(
                client.files.create(file=(f"{number}.jsonl", LINES), purpose="batch")
                for number in range(5)
            )
        )
        listed = [one.id async for one in client.files.list(limit=2)]
        assert set(listed[:5]) == {one.id for one in files}
        content = await client.files.content(files[0].id)
        assert content.content == LINES
        async with client.files.with_streaming_response.content(files[0].id) as response:
            assert b"".join([chunk async for chunk in response.iter_bytes(1_000)]) == LINES
        with raises(openai.NotFoundError, 404):
            await client.batches.retrieve("batch_none")
        assert [model.id async for model in client.models.list()]
        for one in files:
            await client.files.delete(one.id)


def ended(client: Any, id: str) -> Any:
    """The batch when it has ended."""
    for _ in range(1_000):
        batch = client.batches.retrieve(id)
        if batch.status in ENDED:
            return batch
        PAUSE.wait(0.02)
    raise AssertionError(f"the batch never ended: {batch}")


def main() -> None:
    """Drive all of it."""
    url, key, limited_key, slow_url = sys.argv[1:]
    client: Any = openai.OpenAI(
        base_url=url, api_key=key, max_retries=0, _strict_response_validation=True
    )
    known = []
    for name in RESOURCES:
        resource: Any = client
        for part in name.split("."):
            resource = getattr(resource, part, None)
        known += watch(resource, name) if resource is not None else []
    with tempfile.TemporaryDirectory() as folder:
        drive_models(client)
        drive_files(client, Path(folder))
        drive_headers(client)
        drive_batches(client)
        drive_uploads(client, Path(folder))
        drive_webhooks(client)
        drive_refusals(client, limited_key, slow_url)
    # The first generation has no such resource.
    if hasattr(client, "admin"):
        drive_admin(client, key)
    asyncio.run(drive_async(url, key))
    left = sorted(set(known) - CALLED)
    json.dump({"version": openai.__version__, "called": sorted(CALLED), "left": left}, sys.stdout)


if __name__ == "__main__":
    main()
