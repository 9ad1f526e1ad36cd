"""The scenario of a crowd: pollers, slow uploads and half-open connections while a batch runs."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.inputs import write_lines
from bench.measure import percentile, resident_bytes
from bench.report import Figure, Section
from bench.serving import BOUNDARY, KEY, Caller, Yard, multipart, open_yard
from bench.setting import Setting

__all__ = ["crowd"]

_POLLERS, _SLOW_UPLOADS, _HALF_OPEN = 1_000, 200, 1_000
_POLL_EVERY_SECONDS = 2.0
_LINES, _IN_FLIGHT, _ANSWER_SECONDS = 20_000, 500, 0.5
_DRIPS, _DRIP_BYTES, _DRIP_EVERY_SECONDS = 20, 512, 1.0
_ASK_EVERY_SECONDS = 0.02
# Until all have connected; what a normal request takes is measured from then on.
_GATHERING_SECONDS = 4.0


@dataclass
class _Seen:
    """What happened to whom."""

    asked: list[float] = field(default_factory=list)
    polled: list[float] = field(default_factory=list)
    uploaded: int = 0


def crowd(setting: Setting) -> Iterator[Section]:
    """How long a normal request takes while many others want something, or pretend to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    source = write_lines(setting.folder / "crowd.jsonl", _LINES)
    width = {"start_concurrency": _IN_FLIGHT, "max_concurrency": _IN_FLIGHT}
    with (
        setting.floor.upstream(delay_seconds=_ANSWER_SECONDS) as upstream,
        open_yard(setting.folder / "crowd", upstream.url, pinned=False, upstream=width) as yard,
    ):
        caller = Caller(yard.port)
        file_id = caller.upload(source)
        before = _now_bytes(yard.pid) / 1e6
        batch_id = caller.create(file_id)
        seen = asyncio.run(_gather(yard, batch_id))
        ended = caller.until_ended(batch_id)
        held = resident_bytes(yard.pid) / 1e6
    counts = ended["request_counts"]
    assert counts["completed"] == _LINES, ended
    yield Section(
        "A crowd",
        f"{_POLLERS:,} pollers of a running batch of {_LINES:,} lines, each every "
        f"{_POLL_EVERY_SECONDS:.0f} s; {_SLOW_UPLOADS} uploads of {_DRIP_BYTES} bytes a second; "
        f"{_HALF_OPEN:,} connections that never finish their request. All lines were answered. "
        "Nobody is pinned: the crowd itself runs on the same cores.",
        [
            Figure(
                "Normal requests, 99 % are under", [percentile(seen.asked, 99) * 1e3], "ms", 200
            ),
            Figure("Normal requests, half are under", [percentile(seen.asked, 50) * 1e3], "ms"),
            Figure("The pollers' own, 99 % are under", [percentile(seen.polled, 99) * 1e3], "ms"),
            Figure("Polls answered", [len(seen.polled)], ""),
            Figure("Slow uploads that were taken", [seen.uploaded], "", _SLOW_UPLOADS, True),
            Figure("Memory of the server before", [before], "MB"),
            Figure("Most memory held by the server", [held], "MB", 150),
        ],
    )


async def _gather(yard: Yard, batch_id: str) -> _Seen:
    seen = _Seen()
    path = f"/v1/batches/{batch_id}"
    others = [asyncio.create_task(_half_open(yard.port)) for _ in range(_HALF_OPEN)]
    others += [
        asyncio.create_task(_poll(yard.port, path, one / _POLLERS, seen)) for one in range(_POLLERS)
    ]
    uploads = [asyncio.create_task(_drip(yard.port, seen)) for _ in range(_SLOW_UPLOADS)]
    await asyncio.sleep(_GATHERING_SECONDS)
    asking = asyncio.create_task(_ask(yard.port, path, seen))
    await asyncio.gather(*uploads)
    for task in (asking, *others):
        task.cancel()
    ended = await asyncio.gather(asking, *others, return_exceptions=True)
    for fault in ended:
        if isinstance(fault, Exception):
            raise fault
    return seen


async def _ask(port: int, path: str, seen: _Seen) -> None:
    """The normal client, on a connection that it keeps."""
    async with _connected(port) as (reader, writer):
        while True:
            for asked in (path, "/v1/batches", "/v1/files"):
                seen.asked.append(await _get(reader, writer, asked))
                await asyncio.sleep(_ASK_EVERY_SECONDS)


async def _poll(port: int, path: str, share: float, seen: _Seen) -> None:
    # By the clock, as strangers do: who waited for an answer is not late for the next poll. Else
    # all who once waited together would ask together for ever.
    due = time.perf_counter() + share * _POLL_EVERY_SECONDS
    async with _connected(port) as (reader, writer):
        while True:
            await asyncio.sleep(due - time.perf_counter())
            seen.polled.append(await _get(reader, writer, path))
            due += _POLL_EVERY_SECONDS


async def _half_open(port: int) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(b"GET /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\nx-never: ")
        # The server may tire of it, as it should.
        await reader.read()
        await asyncio.Event().wait()


async def _drip(port: int, seen: _Seen) -> None:
    head, tail = multipart()
    line = json.dumps({"custom_id": "a", "padding": "x" * (_DRIP_BYTES - 40)}).encode()
    length = len(head) + _DRIPS * (len(line) + 1) + len(tail)
    async with _connected(port) as (reader, writer):
        writer.write(
            f"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"content-length: {length}\r\nconnection: close\r\n\r\n".encode()
            + head
        )
        for _ in range(_DRIPS):
            writer.write(line + b"\n")
            await writer.drain()
            await asyncio.sleep(_DRIP_EVERY_SECONDS)
        writer.write(tail)
        taken = (await reader.readline()).startswith(b"HTTP/1.1 200")
        seen.uploaded += taken


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> float:
    began = time.perf_counter()
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"GET {path}: {head!r}")
    await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
    return time.perf_counter() - began


@asynccontextmanager
async def _connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _now_bytes(pid: int) -> int:
    """The memory that a process holds at this moment."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
