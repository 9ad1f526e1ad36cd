"""What is measured; each scenario returns rows of (what, measured, target)."""

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from openai import OpenAI
from openai.types import Batch

from bench.measure import Cost, batch_file, cost_of, floor, served, upstream

__all__ = ["SCENARIOS", "Row"]

Row = tuple[str, str, str]
RUNS = 3
ENDED = ("completed", "failed", "expired", "cancelled")


def run_command(folder: Path, binary: Path, lines: int) -> list[Row]:
    """`batchyard run` beside the floor and the alternatives, instant answers."""
    source = batch_file(folder / "in.jsonl", lines)
    few = batch_file(folder / "few.jsonl", max(1, lines // 25))
    with upstream(binary) as port:
        bare = statistics.median(floor(binary, port, lines, 64)[1] for _ in range(RUNS))
        ours = [our_run(folder, source, port) for _ in range(RUNS)]
        aiohttp = alternative("with_aiohttp", folder, few, port)
        openai = alternative("with_openai", folder, few, port)
    cpu = statistics.median(one.cpu_seconds for one in ours) * 1e6 / lines
    return [
        ("C client, CPU per line", f"{bare:.1f} us", "the floor"),
        ("run, CPU per line, all in", f"{cpu:.1f} us ({cpu / bare:.1f} x floor)", "25 us"),
        ("run, lines/s from start to end", f"{lines / median(ours):,.0f}", ""),
        ("run, peak memory", f"{max(one.rss_bytes for one in ours) / 1e6:.0f} MB", "80 MB"),
        ("aiohttp, semaphore 64", beside(aiohttp, lines // 25, cpu), ""),
        ("openai SDK, semaphore 64", beside(openai, lines // 25, cpu), ""),
    ]


def faults(folder: Path, binary: Path, lines: int) -> list[Row]:
    """CPU with 2 % 429s, 2 % 500s and hangs, against a clean run."""
    source = batch_file(folder / "in.jsonl", lines)
    options = ("--max-concurrency", "256", "--start-concurrency", "256")
    with upstream(binary) as port:
        clean = [our_run(folder, source, port, *options) for _ in range(RUNS)]
    with upstream(binary, faults=True) as port:
        # Hangs end with the window; what is left of them expires.
        options = (*options, "--window", "15s")
        faulty = [our_run(folder, source, port, *options, expires=True) for _ in range(RUNS)]
    ratio = statistics.median(one.cpu_seconds for one in faulty) / statistics.median(
        one.cpu_seconds for one in clean
    )
    return [("CPU with faults / clean", f"{ratio:.2f}", "1.5")]


def kept_full(folder: Path, binary: Path, lines: int) -> list[Row]:
    """How full a slow upstream is kept, against the C client."""
    rows: list[Row] = []
    for delay_ms, flight in ((50, 1_000), (1_000, 5_000)):
        source = batch_file(folder / "in.jsonl", lines)
        wide = ("--max-concurrency", str(flight), "--start-concurrency", str(flight))
        with upstream(binary, delay_ms=delay_ms) as port:
            bare = statistics.median(floor(binary, port, lines, flight)[0] for _ in range(RUNS))
            ours = [our_run(folder, source, port, *wide) for _ in range(RUNS)]
            idle = our_run(folder, batch_file(folder / "one.jsonl", 1), port)
        # Starting the interpreter and checking the file are not the upstream's business.
        took = median(ours) - (idle.seconds - delay_ms / 1000)
        cpu = statistics.median(one.cpu_seconds for one in ours) * 1e6 / lines
        what = f"{delay_ms} ms answers, {flight:,} in flight"
        rows.append((f"{what}: of the C client's rate", f"{100 * bare / took:.0f} %", "90 %"))
        rows.append((f"{what}: CPU per line", f"{cpu:.0f} us", "60 us"))
    return rows


def service(folder: Path, binary: Path, lines: int) -> list[Row]:
    """The worker behind the server, and what the server answers meanwhile."""
    source = batch_file(folder / "in.jsonl", lines)
    micros, rates, waits, moves = [], [], [], []
    with upstream(binary) as port, served(folder / "data", port) as (url, server, worker):
        client = OpenAI(base_url=url, api_key="bench")
        with source.open("rb") as file:
            id = client.files.create(file=file, purpose="batch").id
        for _ in range(RUNS + 1):
            before = cpu_of(worker)
            seen = watched(url, create(client, id))
            micros.append((cpu_of(worker) - before) * 1e6 / lines)
            rates.append(rate_of(seen))
            waits += [wait for wait, _, _ in seen]
            moves.append(len({done for _, _, done in seen}) / (seen[-1][1] - seen[0][1]))
        rss = max(peak(one) for one in (server, worker))
    return [
        ("worker, CPU per line", f"{statistics.median(micros[1:]):.1f} us", "30 us"),
        ("lines/s while running", f"{statistics.median(rates[1:]):,.0f}", "25,000"),
        ("GET batch meanwhile, p99", f"{1000 * p99(waits):.1f} ms", "20 ms"),
        ("counts move per second", f"{statistics.median(moves):.1f}", "2"),
        ("largest process, peak memory", f"{rss / 1e6:.0f} MB", "150 MB"),
    ]


def one_line(folder: Path, binary: Path, _lines: int) -> list[Row]:
    """A batch of one line, from its creation until it is seen completed."""
    took = []
    with upstream(binary) as port, served(folder / "data", port) as (url, _, _):
        client = OpenAI(base_url=url, api_key="bench")
        source = batch_file(folder / "one.jsonl", 1)
        for _ in range(20):
            with source.open("rb") as file:
                id = client.files.create(file=file, purpose="batch").id
            began = time.perf_counter()
            batch = create(client, id)
            while batch.status not in ENDED:
                batch = client.batches.retrieve(batch.id)
            took.append(time.perf_counter() - began)
    return [
        ("one line, created to completed", f"{1000 * statistics.median(took):.0f} ms", "150 ms")
    ]


def upload(folder: Path, binary: Path, _lines: int) -> list[Row]:
    """A file of 200 MB, from the first byte to the answer, and a reader beside it."""
    source = batch_file(folder / "big.jsonl", 200_000)
    body = source.read_bytes()[: 199 << 20]
    head = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
        b'content-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    rates = []
    with upstream(binary) as port, served(folder / "data", port) as (url, _, _):
        place = url.removeprefix("http://").removesuffix("/v1")
        for _ in range(RUNS):
            connection = http.client.HTTPConnection(place)
            began = time.perf_counter()
            connection.request(
                "POST",
                "/v1/files",
                head + body + b"\r\n--b--\r\n",
                {
                    "authorization": "Bearer bench",
                    "content-type": "multipart/form-data; boundary=b",
                },
            )
            assert connection.getresponse().status == 200
            rates.append(len(body) / (time.perf_counter() - began) / 1e6)
            connection.close()
    return [("upload of 200 MB", f"{statistics.median(rates):.0f} MB/s", "150 MB/s")]


def our_run(folder: Path, source: Path, port: int, *more: str, expires: bool = False) -> Cost:
    """One `batchyard run`."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        words = [sys.executable, "-m", "batchyard", "run", str(source), "-o", f"{place}/out.jsonl"]
        words += ["--upstream", f"http://127.0.0.1:{port}/v1", *more]
        return cost_of(["sh", "-c", '"$@"; [ $? -eq 5 ]', "sh", *words] if expires else words)


def alternative(name: str, folder: Path, source: Path, port: int) -> Cost:
    """One run of an alternative."""
    words = [sys.executable, "-m", f"bench.alternatives.{name}", str(source)]
    return cost_of([*words, str(folder / "other.jsonl"), f"http://127.0.0.1:{port}/v1", "64"])


def beside(cost: Cost, lines: int, ours: float) -> str:
    """An alternative's cost, and how many times ours it is."""
    micros = cost.cpu_seconds * 1e6 / lines
    return f"{micros:,.0f} us ({micros / ours:.0f} x run), {cost.rss_bytes / 1e6:.0f} MB"


def median(costs: list[Cost]) -> float:
    """The median of the seconds."""
    return statistics.median(one.seconds for one in costs)


def create(client: OpenAI, file_id: str) -> Batch:
    """Create a batch."""
    return client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def watched(url: str, batch: Batch) -> list[tuple[float, float, int]]:
    """Poll until the end: how long each answer took, when it came, how many lines were done."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").removesuffix("/v1"))
    seen = []
    while True:
        began = time.perf_counter()
        connection.request(
            "GET", f"/v1/batches/{batch.id}", headers={"authorization": "Bearer bench"}
        )
        shown = json.loads(connection.getresponse().read())
        seen.append(
            (time.perf_counter() - began, time.perf_counter(), shown["request_counts"]["completed"])
        )
        if shown["status"] in ENDED:
            connection.close()
            return seen
        time.sleep(0.05)


def rate_of(seen: list[tuple[float, float, int]]) -> float:
    """Lines per second between the first and the last sight of a moving count."""
    moving = [(when, done) for _, when, done in seen if done]
    first, last = moving[0], next(one for one in moving if one[1] == moving[-1][1])
    return (last[1] - first[1]) / max(last[0] - first[0], 1e-9)


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def peak(process: psutil.Process) -> int:
    """Peak resident memory in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


SCENARIOS: dict[str, Callable[[Path, Path, int], list[Row]]] = {
    "run": run_command,
    "service": service,
    "faults": faults,
    "kept_full": kept_full,
    "one_line": one_line,
    "upload": upload,
}
