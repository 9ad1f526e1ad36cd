"""The official client with the calls of old articles, against our server and against a clone."""

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import openai
import pytest

from batchyard.compat import AsyncOpenAI, NotEndedError, OpenAI
from tests.acceptance.processes import request_lines
from tests.client.conftest import Strict


@pytest.fixture
def client(strict: Strict) -> OpenAI:
    return OpenAI(
        base_url=strict.server.url,
        api_key="key",
        max_retries=0,
        _strict_response_validation=True,
    )


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(request_lines(5))
    return path


OPENINGS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: path.open("rb"),
    "text": lambda path: path.open(),
    "path": lambda path: path,
    "name": str,
    "content": lambda path: path.read_bytes(),
    "memory": lambda path: io.BytesIO(path.read_bytes()),
    "words": lambda path: io.StringIO(path.read_text()),
}


@pytest.mark.parametrize("opened", OPENINGS.values(), ids=OPENINGS)
def test_a_file_becomes_a_batch_however_it_is_opened(
    client: OpenAI, lines: Path, opened: Callable[[Path], Any]
) -> None:
    """It is uploaded, its lines say for which endpoint, and the warning shows today's calls."""
    given = opened(lines)
    with pytest.warns(DeprecationWarning, match=r"Today: file = client\.files\.create\(") as told:
        batch = client.beta.batches.create(input_file=given)
    assert told[0].filename == __file__
    if hasattr(given, "close"):
        given.close()
    assert (batch.endpoint, batch.completion_window) == ("/v1/chat/completions", "24h")
    assert client.files.content(batch.input_file_id).content == lines.read_bytes()
    assert client.batches.wait(batch, poll_interval=0.02).status == "completed"


def test_results_are_text_and_lines(client: OpenAI, lines: Path) -> None:
    """Of both files; keys may be written as attributes, as every article has it differently."""
    broken = request_lines(1, {"model": "unknown", "messages": []}).replace(b"c0", b"broken")
    lines.write_bytes(request_lines(5) + broken.replace(b"unknown", b"m1"))
    with pytest.warns(DeprecationWarning):
        batch = client.batches.create(input_file=lines, metadata={"a": "b"})
    ended = client.batches.wait(batch.id, poll_interval=0.02)
    with pytest.warns(DeprecationWarning, match="error_file_id"):
        results = client.beta.batches.results(batch.id)
    assert [one.custom_id for one in results] == [*(f"c{n}" for n in range(5)), "broken"]
    first = next(iter(results))
    assert first.response.body.choices[0].message.content
    assert first["response"]["body"]["model"] == "m1"
    ids = [json.loads(line)["custom_id"] for line in results.text.strip().split("\n")]
    assert ids == [one["custom_id"] for one in results]
    assert results.read() == results.content
    assert len(results) == 6
    with pytest.raises(AttributeError, match="no 'text'; it has"):
        _ = first.text
    assert ended.metadata == {"a": "b"}


def test_processed_is_what_has_an_outcome(client: OpenAI, lines: Path) -> None:
    """On every batch in every answer, and with the call that says it today."""
    with pytest.warns(DeprecationWarning):
        batch = client.beta.batches.create(input_file=lines)
    client.batches.wait(batch, poll_interval=0.02)
    listed = next(one for one in client.batches.list(limit=1) if one.id == batch.id)
    raw = client.batches.with_raw_response.retrieve(batch.id).parse()
    for found in (client.batches.retrieve(batch.id), listed, raw):
        counts: Any = found.request_counts
        with pytest.warns(DeprecationWarning, match="completed \\+ request_counts.failed"):
            assert counts.processed == counts.total == 5


def test_calls_under_beta_tell_where_they_went(client: OpenAI, lines: Path) -> None:
    """Each does what it says all the same; nothing else of beta is lost."""
    old = client.beta.batches
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    with pytest.warns(DeprecationWarning, match=r"Today: .*client\.batches\.") as told:
        batch = old.create(input_file_id=upload(client, lines), **asked)
        assert old.retrieve(batch.id).id == batch.id
        assert batch.id in [one.id for one in old.list()]
    assert len(told) == 3
    client.batches.wait(batch, poll_interval=0.02)
    with pytest.warns(DeprecationWarning), pytest.raises(openai.ConflictError):
        old.cancel(batch.id)
    assert callable(client.beta.assistants.create)


def test_what_is_not_old_warns_of_nothing(client: OpenAI, lines: Path) -> None:
    """Official calls are the official ones; a client made of another keeps the old calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = client.with_options(timeout=20)
        batch = mine.batches.create(
            input_file_id=upload(client, lines),
            endpoint="/v1/chat/completions",
            completion_window="24h",
        )
        assert isinstance(mine, OpenAI)
        assert mine.batches.wait(batch, poll_interval=0.02).status == "completed"
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="either"):
        client.batches.create(input_file=lines, input_file_id="file-1")


class Clone(BaseHTTPRequestHandler):
    """A Batch API whose batch has a status of the test's choice after a while."""

    def do_GET(self) -> None:
        statuses: list[str] = self.server.statuses  # type: ignore[attr-defined]
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        body = json.dumps({"id": "batch_1", "object": "batch", "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def clone() -> Iterator[Callable[..., OpenAI]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Clone)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def of(*statuses: str) -> OpenAI:
        server.statuses = list(statuses)  # type: ignore[attr-defined]
        return OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="key")

    yield of
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("completed", "completed"),
        ("failed", "failed"),
        ("expired", "expired"),
        ("cancelled", "cancelled"),
        ("canceled", "cancelled"),
        ("CANCELLED", "cancelled"),
    ],
)
def test_waiting_ends_with_every_end(clone: Callable[..., OpenAI], told: str, status: str) -> None:
    """The loops of articles never ended on `cancelled` or on `expired`."""
    heard: list[str] = []
    client = clone("validating", "in_progress", told)
    found = client.batches.wait(
        "batch_1", poll_interval=0.001, on_progress=lambda one: heard.append(one.status)
    )
    assert found.status == status
    assert heard == ["validating", "in_progress", status]


def test_what_goes_on_has_no_results(clone: Callable[..., OpenAI]) -> None:
    """Nobody takes an empty list for the answers; and nobody waits longer than they wish."""
    client = clone("in_progress")
    with pytest.warns(DeprecationWarning), pytest.raises(NotEndedError, match="is in_progress"):
        client.beta.batches.results("batch_1")
    with pytest.raises(TimeoutError, match="in_progress after 0 seconds"):
        client.batches.wait("batch_1", poll_interval=0.001, max_wait=0)


async def test_async_calls_tell_the_same_and_end_as_well(
    strict: Strict, lines: Path, clone: Callable[..., OpenAI]
) -> None:
    """Whoever awaits is warned where the call stands, and waits for every end."""
    client = AsyncOpenAI(base_url=strict.server.url, api_key="key", max_retries=0)
    with pytest.warns(DeprecationWarning, match=r"Today: .*await client\.files\.create") as told:
        batch = await client.beta.batches.create(input_file=lines)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (await client.batches.wait(batch, poll_interval=0.02)).status == "completed"
        assert isinstance(client.with_options(timeout=20), AsyncOpenAI)
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="either"):
        await client.batches.create(input_file=lines, input_file_id="file-1")
    assert callable(client.beta.assistants.create)
    await client.close()
    slow = clone("in_progress", "canceled")
    async with AsyncOpenAI(base_url=slow.base_url, api_key="key") as client:
        with pytest.warns(DeprecationWarning), pytest.raises(NotEndedError, match="in_progress"):
            await client.batches.results("batch_1")
        assert (await client.batches.wait("batch_1", poll_interval=0.001)).status == "cancelled"
    slow = clone("in_progress")
    async with AsyncOpenAI(base_url=slow.base_url, api_key="key") as client:
        with pytest.raises(TimeoutError, match="in_progress after 0 seconds"):
            await client.batches.wait("batch_1", poll_interval=0.001, max_wait=0)


def test_it_says_what_to_install(tmp_path: Path) -> None:
    """Where the official client is not there."""
    (tmp_path / "openai.py").write_text("raise ModuleNotFoundError('No module named openai')")
    done = subprocess.run(
        [sys.executable, "-c", "import batchyard.compat"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install 'batchyard[openai]'" in done.stderr.splitlines()[-1]


def upload(client: OpenAI, path: Path) -> str:
    return client.files.create(file=path, purpose="batch").id
