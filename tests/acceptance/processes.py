"""Servers, simulated upstreams and one-shot runs as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from openai import OpenAI
from openai.types import Batch

__all__ = [
    "ENDED",
    "Server",
    "Sim",
    "batch_of",
    "command",
    "ended",
    "has_some",
    "request_lines",
    "results_of",
    "until",
]

ENDED = ("completed", "failed", "expired", "cancelled")
# A test that waits for longer is broken; nothing here is that slow.
PATIENCE_SECONDS = 40.0
_PAUSE = threading.Event()


def command(*words: str) -> list[str]:
    """The command `batchyard` with these words."""
    return [sys.executable, "-m", "batchyard", *words]


def until(met: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < end, "it never came true"
        # Asking without a pause would take the processor from those who are asked.
        _PAUSE.wait(0.01)


class Sim:
    """A simulated upstream."""

    def __init__(self, folder: Path, *options: str, models: str = "m1,m2") -> None:
        self._log = folder / "sim.log"
        self._process = subprocess.Popen(
            command("sim", "--port", "0", "--models", models, "--log", str(self._log), *options),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        self._begun = 0

    def calm(self) -> "Sim":
        """Forget faults, latency, and what was served so far."""
        self.set("faults", "")
        self.set("latency", "instant")
        self._flush()
        self._begun = self._log.stat().st_size
        return self

    def set(self, what: str, spec: str) -> None:
        """Set its `faults` or its `latency` while it runs."""
        url = f"{self.url.removesuffix('/v1')}/sim/{what}"
        urllib.request.urlopen(urllib.request.Request(url, spec.encode(), method="POST")).close()

    def served(self) -> Counter[str]:
        """How often each distinct request was answered with 200, by the sim's own log."""
        self._flush()
        seen: Counter[str] = Counter()
        with self._log.open() as log:
            log.seek(self._begun)
            for line in log:
                entry = json.loads(line)
                if entry["path"] != "/v1/models" and entry["answered"] == 200:
                    seen[entry["key"]] += 1
        return seen

    def in_flight(self) -> int:
        """How many requests are there now."""
        return int(self._flush()["in_flight"])

    def _flush(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/sim/stats") as answer:
            stats: dict[str, Any] = json.load(answer)
        return stats

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Server:
    """`batchyard serve` on one data folder, started as often as a test likes."""

    def __init__(self, folder: Path, upstreams: list[str], **settings: object) -> None:
        self.folder = folder
        self.data = folder / "data"
        toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        toml += "".join(f'[[upstream]]\nurl = "{url}"\n' for url in upstreams)
        (folder / "batchyard.toml").write_text(toml)
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, words: Sequence[str] = (), **environment: str) -> OpenAI:
        """Start it, with these words on its command line, and return a client for it."""
        if self._process is not None:
            self._left()
        with (self.folder / "serve.log").open("a") as log:
            self._process = subprocess.Popen(
                command(
                    *("serve", "--port", "0", "--data", str(self.data)),
                    *("--config", str(self.folder / "batchyard.toml")),
                    *words,
                ),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"BATCHYARD_API_KEY": "key"} | environment,
            )
        announced = self.said()
        assert announced, self.log
        self.url = announced.split()[-1]
        return self.client("key")

    def client(self, key: str) -> OpenAI:
        """OpenAI's client, as strict as it can be."""
        return OpenAI(
            base_url=self.url, api_key=key, max_retries=0, _strict_response_validation=True
        )

    def said(self) -> str:
        """The next line of its standard output."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    @property
    def log(self) -> str:
        """Its standard error so far."""
        return (self.folder / "serve.log").read_text()

    def events(self, name: str) -> int:
        """How often an event stands in the log."""
        return self.log.count(f'"event": "{name}"')

    def worker(self) -> psutil.Process:
        """The worker process that runs now."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            assert self._process is not None
            found[:] = psutil.Process(self._process.pid).children()
            return bool(found)

        until(is_there)
        return found[0]

    def pass_by(self, seconds: float) -> None:
        """Let it work for so long, or until it ends."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL the server; its worker notices by itself."""
        assert self._process is not None
        self._process.kill()
        self._left()

    def died(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is None or self._process.poll() is not None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._left()

    def close(self) -> None:
        """End it whatever it does."""
        if self._process is not None:
            self.kill() if self.died() else self.stop()

    def _left(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        code = self._process.wait(timeout=10)
        self._process.stdout.close()
        return code


def request_lines(
    count: int, body: Mapping[str, object] | None = None, url: str = "/v1/chat/completions"
) -> bytes:
    """A batch file of distinct requests."""
    lines = []
    for number in range(count):
        asked = {"model": "m1", "messages": [{"role": "user", "content": f"line {number}"}]}
        line = {"custom_id": f"c{number}", "method": "POST", "url": url}
        lines.append(json.dumps(line | {"body": body or asked}))
    return ("\n".join(lines) + "\n").encode()


def batch_of(client: OpenAI, lines: bytes, headers: Mapping[str, str] | None = None) -> Batch:
    """Upload chat lines and create a batch of them."""
    file = client.files.create(file=("lines.jsonl", lines), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=headers,
    )


def has_some(client: OpenAI, batch: Batch) -> bool:
    """Whether answers of this batch are recorded already."""
    counts = client.batches.retrieve(batch.id).request_counts
    return counts is not None and counts.completed > 0


def ended(client: OpenAI, batch: Batch) -> Batch:
    """The batch when it has ended."""
    until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    return client.batches.retrieve(batch.id)


def results_of(client: OpenAI, batch: Batch) -> tuple[list[dict[str, object]], ...]:
    """The lines of the output file and of the error file."""
    return tuple(
        [json.loads(line) for line in client.files.content(id).text.splitlines()] if id else []
        for id in (batch.output_file_id, batch.error_file_id)
    )
