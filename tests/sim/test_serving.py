"""The simulated upstream serves as a process, counts and logs, and ends when told."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from batchyard.sim import SimOptions
from batchyard.sim.latency import Latency
from tests.sim.asking import CHAT, ask, ask_chat, get, post, read
from tests.sim.conftest import Starting


def log_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_every_request_is_logged(starting: Starting, tmp_path: Path) -> None:
    """Whoever has asked for the counts finds a line for each request they count."""
    log = tmp_path / "log.jsonl"
    running = await starting(SimOptions(log=log))
    body = json.dumps(CHAT)
    *_, stats = await ask(
        running,
        post("/v1/chat/completions", body),
        post("/v1/chat/completions", body, 'X-Sim-Key: my "key"'),
        post("/v1/embeddings", "{"),
        get("/v1/models"),
        get("/sim/stats"),
    )
    lines = log_of(log)
    hashed = sha256(body.encode()).hexdigest()[:32]
    assert [line["answered"] for line in lines] == [200, 200, 400, 200]
    assert [line["key"] for line in lines[:2]] == [hashed, 'my "key"']
    assert [line["custom"] for line in lines[:2]] == [None, 'my "key"']
    assert set(lines[0]) == {"at", "path", "key", "custom", "answered", "ms"}
    counted = stats.json()
    assert (counted["received"], counted["in_flight"]) == (4, 0)
    assert counted["answered"] == {"200": 3, "400": 1}
    assert counted["paths"]["/v1/chat/completions"] == 2


async def test_who_leaves_is_logged(starting: Starting, tmp_path: Path) -> None:
    """A request whose client did not wait has a line too, and so have those behind it."""
    log = tmp_path / "log.jsonl"
    running = await starting(SimOptions(log=log, latency=Latency.parse("fixed:600")))
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT) * 2)
    while running.stats["received"] < 2:
        await ask(running, get("/health"))
    writer.close()
    await writer.wait_closed()
    while running.stats["in_flight"]:
        await ask(running, get("/health"))
    assert [line["answered"] for line in log_of(log)] == ["left", "left"]


async def test_metrics_count(starting: Starting) -> None:
    """Prometheus reads what was served."""
    running = await starting(SimOptions())
    await ask_chat(running)
    (seen,) = await ask(running, get("/metrics"))
    expected = 'batchyard_sim_requests_total{path="/v1/chat/completions",answered="200"} 1'
    assert expected in seen.body.decode().splitlines()


async def test_pipelined_answers_keep_their_order(starting: Starting) -> None:
    """However requests are cut into packets, answers come in their order."""
    running = await starting(SimOptions())
    wanted = [await ask_chat(running, user=str(number)) for number in range(5)]
    bodies = [{**CHAT, "user": str(number)} for number in range(5)]
    sent = b"".join(post("/v1/chat/completions", body) for body in bodies)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for start in range(0, len(sent), 37):
        writer.write(sent[start : start + 37])
        await asyncio.sleep(0)
    assert [await read(reader) for _ in wanted] == wanted
    writer.close()
    await writer.wait_closed()


async def test_a_head_that_was_seen_before_is_taken_anew(starting: Starting) -> None:
    """Where only the bodies of requests differ each has its own answer, in pieces too."""
    running = await starting(SimOptions())
    users = "abacb"
    sent = [post("/v1/chat/completions", {**CHAT, "user": user}) for user in users]
    alone = [(await ask(running, one))[0] for one in sent]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    seen = []
    for user, one in zip(users, sent, strict=True):
        cut = len(one) // 2 if user == "c" else len(one)
        writer.write(one[:cut])
        # Whoever is answered elsewhere knows that this piece has been read.
        await ask(running, get("/health"))
        writer.write(one[cut:])
        seen.append(await read(reader))
    writer.close()
    await writer.wait_closed()
    assert seen == alone
    assert [one == seen[0] for one in seen] == [user == "a" for user in users]


async def test_many_requests_may_wait(starting: Starting) -> None:
    """Behind a slow answer any number of quick ones wait on one connection."""
    running = await starting(SimOptions(latency=Latency.parse("fixed:0.2")))
    first, *others = [post("/v1/chat/completions", CHAT)] + [get("/v1/models")] * 2000
    seen = await ask(running, first, *others)
    assert {one.status for one in seen} == {200}
    assert running.stats["received"] == 2001


async def test_a_connection_closes_when_asked(starting: Starting) -> None:
    """After `Connection: close` the answer is the last."""
    running = await starting(SimOptions())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT, "Connection: close"))
    assert (await read(reader)).header("connection") == "close"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_what_is_not_http_is_refused(starting: Starting) -> None:
    """The client is told, then its connection is closed."""
    running = await starting(SimOptions())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"this is no HTTP\r\n\r\n")
    assert (await read(reader)).status == 400
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_large_body_may_ask_first(starting: Starting) -> None:
    """`Expect: 100-continue` is answered before the body is sent."""
    running = await starting(SimOptions())
    request = post("/v1/chat/completions", CHAT, "Expect: 100-continue")
    head, separator, body = request.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(head + separator)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read(reader)).status == 200
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def process(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process, which is gone afterwards."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batchyard", "sim", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_until_told(tmp_path: Path, number: signal.Signals) -> None:
    """It says where it listens, answers, and a signal ends it with its log complete."""
    log = tmp_path / "log.jsonl"
    async with process("--port", "0", "--seed", "7", "--log", str(log)) as child:
        assert child.stdout is not None
        said = (await child.stdout.readline()).decode()
        assert said.startswith("simulated upstream on http://127.0.0.1:")
        port = int(said.rpartition(":")[2].removesuffix("/v1\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v1/chat/completions", CHAT))
        assert (await read(reader)).status == 200
        child.send_signal(number)
        assert await child.wait() == 0
        assert await reader.read() == b""
        writer.close()
    assert [line["answered"] for line in log_of(log)] == [200]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latency", "soon"), "no latency: 'soon'"),
        (("--faults", "odd:1"), "no fault: 'odd'"),
        (("--models", ","), "no models"),
    ],
)
async def test_wrong_options_are_explained(options: tuple[str, ...], said: str) -> None:
    """The command says what is wrong and does not start."""
    async with process(*options) as child:
        _, stderr = await child.communicate()
        assert child.returncode == 2
        assert said in stderr.decode()
