"""The scenario of a large upload, with others who ask meanwhile."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.inputs import write_lines
from bench.measure import percentile, resident_bytes
from bench.report import Figure, Section
from bench.serving import BOUNDARY, KEY, Caller, multipart, open_yard
from bench.setting import Setting

__all__ = ["large"]

# As much as OpenAI takes: 50,000 lines, close below 200 MiB.
_LINES, _LINE_BYTES = 50_000, 4_150
_BETWEEN_SECONDS = 0.005


def large(setting: Setting) -> Iterator[Section]:
    """How fast the largest file is taken in, and how long others wait."""
    source = write_lines(setting.folder / "large.jsonl", _LINES, line_bytes=_LINE_BYTES)
    size = source.stat().st_size
    rates, waits, shown = [], [], []
    with (
        setting.floor.upstream(delay_seconds=1.0) as upstream,
        open_yard(setting.folder / "uploads", upstream.url, pinned=False) as yard,
    ):
        caller = Caller(yard.port)
        for _ in range(setting.repeat):
            asked: list[float] = []
            over = threading.Event()
            asking = threading.Thread(target=_keep_asking, args=(yard.port, over, asked))
            asking.start()
            try:
                seconds, file_id = _upload(yard.port, source)
            finally:
                over.set()
                asking.join()
            rates.append(size / seconds / 1e6)
            waits.append(percentile(asked, 99) * 1e3)
            shown.append(_until_shown(caller, file_id) * 1e3)
        held = resident_bytes(yard.pid) / 1e6
    source.unlink()
    yield Section(
        f"Upload of {size / 1e6:,.0f} MB",
        f"{_LINES:,} lines of {_LINE_BYTES:,} bytes, sent by one client from a file; a second one "
        f"asks for the list of batches every {_BETWEEN_SECONDS * 1e3:.0f} ms. Nobody is pinned.",
        [
            Figure("First byte to durable, hashed and validated", rates, "MB/s", 150, True),
            Figure("Others meanwhile, 99 % are under", waits, "ms", 50),
            Figure("Batch asked for to seen `in_progress`", shown, "ms", 1000),
            Figure("Most memory held by the server", [held], "MB", 150),
        ],
    )


def _upload(port: int, source: Path) -> tuple[float, str]:
    """Seconds from the first byte to the answer, and the file's id."""
    head, tail = multipart()
    length = len(head) + source.stat().st_size + len(tail)
    with socket.create_connection(("127.0.0.1", port)) as connection, source.open("rb") as file:
        began = time.perf_counter()
        connection.sendall(
            f"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"content-length: {length}\r\nconnection: close\r\n\r\n".encode()
            + head
        )
        connection.sendfile(file)
        connection.sendall(tail)
        answer = b""
        while more := connection.recv(65536):
            answer += more
        seconds = time.perf_counter() - began
    status, _, rest = answer.partition(b"\r\n")
    if b" 200 " not in status + b" ":
        raise RuntimeError(f"the upload was refused: {answer[:500]!r}")
    return seconds, str(json.loads(rest.partition(b"\r\n\r\n")[2])["id"])


def _keep_asking(port: int, over: threading.Event, asked: list[float]) -> None:
    caller = Caller(port)
    while not over.wait(_BETWEEN_SECONDS):
        began = time.perf_counter()
        caller.ask("GET", "/v1/batches")
        asked.append(time.perf_counter() - began)
    caller.close()


def _until_shown(caller: Caller, file_id: str) -> float:
    began = time.perf_counter()
    batch_id = caller.create(file_id)
    while caller.batch(batch_id)["status"] == "validating":
        time.sleep(_BETWEEN_SECONDS)
    seconds = time.perf_counter() - began
    caller.ask("POST", f"/v1/batches/{batch_id}/cancel")
    caller.until_ended(batch_id)
    return seconds
