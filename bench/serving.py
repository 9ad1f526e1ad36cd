"""A server that runs for a scenario, and a plain way to talk to it."""

import http.client
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.inputs import ENDPOINT
from bench.measure import UPSTREAM_CORE, YARD_CORE, children, pin, python

__all__ = ["BOUNDARY", "ENDED", "KEY", "Caller", "Yard", "multipart", "open_yard"]

KEY = "sk-bench"
ENDED = ("completed", "failed", "expired", "cancelled")
BOUNDARY = "between-the-parts"


class Caller:
    """One kept connection to the server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, verb: str, path: str, body: bytes | None = None) -> Any:
        """The answer's JSON; raises when it is not a 200."""
        headers = {"authorization": f"Bearer {KEY}"}
        if body is not None:
            headers["content-type"] = "application/json"
        self._connection.request(verb, path, body, headers)
        return self._answer(f"{verb} {path}")

    def upload(self, source: Path) -> str:
        """The id of a file that was uploaded."""
        head, tail = multipart()
        headers = {
            "authorization": f"Bearer {KEY}",
            "content-type": f"multipart/form-data; boundary={BOUNDARY}",
            "content-length": str(len(head) + source.stat().st_size + len(tail)),
        }
        with source.open("rb") as file:
            chunks = iter(lambda: file.read(1 << 20), b"")
            body = itertools.chain([head], chunks, [tail])
            self._connection.request("POST", "/v1/files", body, headers)
        return str(self._answer("POST /v1/files")["id"])

    def create(self, file_id: str) -> str:
        """The id of a new batch over an uploaded file."""
        asked = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        return str(self.ask("POST", "/v1/batches", json.dumps(asked).encode())["id"])

    def batch(self, batch_id: str) -> Any:
        """A batch as it is now."""
        return self.ask("GET", f"/v1/batches/{batch_id}")

    def until_ended(self, batch_id: str, every_seconds: float = 0.05) -> Any:
        """A batch once it has ended."""
        while (batch := self.batch(batch_id))["status"] not in ENDED:
            time.sleep(every_seconds)
        return batch

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _answer(self, asked: str) -> Any:
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{asked}: {answer.status} {text[:500]!r}")
        return json.loads(text)


@dataclass(frozen=True)
class Yard:
    """A server with one worker; `ready_seconds` is from its start to the first 200."""

    pid: int
    worker: int
    port: int
    ready_seconds: float


@contextmanager
def open_yard(
    folder: Path,
    upstream_url: str,
    *,
    pinned: bool = True,
    upstream: Mapping[str, float] | None = None,
) -> Iterator[Yard]:
    """Run `batchyard serve` over a data folder; `upstream` has more settings of the upstream.

    Pinned, the worker has its core alone, and the server is where the upstream is.
    """
    config = folder.with_suffix(".toml")
    settings = "".join(f"{name} = {value}\n" for name, value in (upstream or {}).items())
    config.write_text(f'[[upstream]]\nurl = "{upstream_url}"\n{settings}', encoding="utf-8")
    words = ("serve", "--port", "0", "--data", str(folder), "--config", str(config))
    began = time.perf_counter()
    with folder.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            python("-m", "batchyard", *words),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"BATCHYARD_API_KEY": KEY},
        )
    try:
        assert process.stdout is not None
        announced = process.stdout.readline().split()
        if not announced:
            raise RuntimeError(f"serve did not start, see {log.name}")
        port = int(announced[-1].removesuffix("/v1").rpartition(":")[2])
        _wait_healthy(port)
        ready = time.perf_counter() - began
        worker = next(children(process.pid))
        if pinned:
            pin(process.pid, UPSTREAM_CORE)
            pin(worker, YARD_CORE)
        yield Yard(process.pid, worker, port, ready)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def multipart() -> tuple[bytes, bytes]:
    """What stands before and after a file that is uploaded for a batch."""
    head = (
        f"--{BOUNDARY}\r\n"
        'content-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f"--{BOUNDARY}\r\n"
        'content-disposition: form-data; name="file"; filename="lines.jsonl"\r\n'
        "content-type: application/jsonl\r\n\r\n"
    )
    return head.encode(), f"\r\n--{BOUNDARY}--\r\n".encode()


def _wait_healthy(port: int) -> None:
    # The server listens before it says so: the first question waits in line for its answer.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise RuntimeError(f"/healthz answers {status}")
