"""The bytes of all answers are bounded, and every answer comes in the end."""

import asyncio
import json
import sys
from contextlib import aclosing
from random import Random

import pytest

from batchyard.places import machine
from batchyard.places.byte_budget import ByteBudget, Reader
from batchyard.places.transport import Answer, Fault, Transport
from tests.places.test_transport_tls import presenting, trusting
from tests.places.upstream_server import Script, Visit, upstream

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"
_MIB = 1 << 20
_SIZE = 2 * _MIB
_LIMIT = 3 * _MIB


async def ask(transport: Transport, timeout_seconds: float = 30.0) -> Answer | Fault:
    return await transport.fetch(
        HEAD, timeout_seconds=timeout_seconds, body_bytes_max=_SIZE + 1_000
    )


async def _known(visit: Visit) -> None:
    while True:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % _SIZE)
        await visit.say(*[b"y" * 65_536] * (_SIZE >> 16))


async def _chunked(visit: Visit) -> None:
    while True:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await visit.say(*[b"10000\r\n" + b"y" * 65_536 + b"\r\n"] * (_SIZE >> 16))
        await visit.say(b"0\r\n\r\n")


async def _to_the_end(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\n\r\n", *[b"y" * 65_536] * (_SIZE >> 16))


class _Seen(ByteBudget):
    """Notes the most that was held at once, and tells when somebody has to wait."""

    peak_bytes = 0

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.spent = asyncio.Event()

    def reserve(self, reader: Reader, count: int) -> bool:
        """Ask for bytes."""
        granted = super().reserve(reader, count)
        if self.is_spent:
            self.spent.set()
        return granted

    def _grant(self, reader: Reader, count: int) -> None:
        super()._grant(reader, count)
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("script", [_known, _chunked, _to_the_end])
async def test_many_large_answers_share_a_small_budget(script: Script, secret: bool) -> None:
    """All come whole, and at no moment more than the limit and one answer is held."""
    budget = _Seen(_LIMIT)
    told: list[bool] = []
    budget.on_room = lambda: told.append(budget.is_spent)
    async with upstream(script, tls=presenting("localhost") if secret else None) as server:
        url = f"https://localhost:{server.port}/v1" if secret else server.url
        async with aclosing(Transport(url, ssl_context=trusting(), budget=budget)) as transport:
            for _ in range(2):
                outcomes = await asyncio.gather(*(ask(transport) for _ in range(12)))
                sizes = [len(one.body) for one in outcomes if isinstance(one, Answer)]
                assert sizes == [_SIZE] * 12
            assert (budget.held_bytes, budget.is_spent) == (0, False)
    assert _SIZE <= budget.peak_bytes <= _LIMIT + _SIZE + 1_000
    assert told
    assert not any(told)


async def test_an_answer_waits_for_the_disk_beyond_its_deadline() -> None:
    """Time that an answer waits for memory here is not the upstream's, and does not end it."""
    budget = _Seen(_LIMIT)
    budget.hold(_LIMIT)
    async with (
        upstream(_known) as server,
        aclosing(Transport(server.url, budget=budget)) as transport,
    ):
        asking = asyncio.create_task(ask(transport, timeout_seconds=0.3))
        await budget.spent.wait()
        # Small answers are not counted, and come meanwhile; this call ends after the other's time.
        async with upstream(_silent) as silent, aclosing(Transport(silent.url)) as other:
            late = await ask(other, timeout_seconds=0.5)
        assert isinstance(late, Fault)
        assert not asking.done()
        budget.recorded(_LIMIT)
        outcome = await asking
    assert isinstance(outcome, Answer)
    assert (budget.held_bytes, budget.is_spent) == (0, False)


async def _silent(visit: Visit) -> None:
    await visit.request()
    await visit.hung_up()


async def _breaking(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % _SIZE)
    await visit.say(*[b"y" * 65_536] * (_SIZE >> 17))
    if visit.number % 2:
        visit.reset()


@pytest.mark.parametrize("how", ["broken", "cancelled", "closed"])
async def test_what_never_came_gives_its_bytes_back(how: str) -> None:
    """Whether the upstream breaks off, the caller gives up, or the transport is closed."""
    budget = _Seen(_LIMIT)
    async with upstream(_breaking if how == "broken" else _known) as server:
        async with aclosing(Transport(server.url, budget=budget)) as transport:
            asking = [asyncio.create_task(ask(transport)) for _ in range(8)]
            if how == "broken":
                assert all(isinstance(one, Fault) for one in await asyncio.gather(*asking))
            else:
                await budget.spent.wait()
                for one in asking if how == "cancelled" else ():
                    one.cancel()
                if how == "closed":
                    await transport.aclose()
                await asyncio.gather(*asking, return_exceptions=True)
        assert (budget.held_bytes, budget.is_spent) == (0, False)


async def test_a_length_that_is_too_large_is_refused_before_it_comes() -> None:
    """What the head says is enough."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000000\r\n\r\n", b"y" * 100_000)
        await visit.hung_up()

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        fault = await ask(transport)
    assert isinstance(fault, Fault)
    assert fault.code == "response_too_large"


class _Reader:
    """Reads an answer in steps; `left` are those to come."""

    def __init__(self, steps: list[int]) -> None:
        self.left, self.asked, self.waits = steps, 0, False

    def resume(self) -> None:
        self.waits = False


@pytest.mark.parametrize("seed", range(200))
def test_no_order_of_readers_gets_stuck_or_exceeds(seed: int) -> None:
    """Whoever reads, waits, ends and is recorded in whatever order: all end, within the bound."""
    chance = Random(seed)
    limit, most = 100, chance.choice([30, 100, 300])
    budget = ByteBudget(limit)
    rooms: list[None] = []
    budget.on_room = lambda: rooms.append(None)
    readers = [
        _Reader([chance.randint(1, most // 3) for _ in range(chance.randint(1, 3))])
        for _ in range(12)
    ]
    unrecorded: list[int] = []
    was_spent = False
    while readers or unrecorded:
        ready = [one for one in readers if not one.waits]
        assert ready or unrecorded, "nobody can go on"
        if unrecorded and (not ready or chance.random() < 0.3):
            budget.recorded(unrecorded.pop())
            continue
        reader = chance.choice(ready)
        if not reader.left or chance.random() < 0.05:
            readers.remove(reader)
            if not reader.left and chance.random() < 0.7:
                unrecorded.append(reader.asked)
                budget.hold(reader.asked)
            budget.release(reader, reader.asked)
        else:
            count = reader.left.pop()
            reader.asked += count
            reader.waits = not budget.reserve(reader, count)
        arriving = budget.held_bytes - sum(unrecorded)
        assert arriving <= max(limit, 0) + most
        was_spent |= budget.is_spent
    assert (budget.held_bytes, budget.is_spent) == (0, False)
    assert was_spent == bool(rooms)


_ASKING = """
import asyncio, json, re, sys
from pathlib import Path
from batchyard.places.byte_budget import ByteBudget, Reader
from batchyard.places.transport import Transport

async def main(url, count, size, limit):
    budget = ByteBudget(limit)
    transport = Transport(url, budget=budget)
    head = b"POST /v1/x HTTP/1.1\\r\\nhost: h\\r\\ncontent-length: 0\\r\\n\\r\\n"

    async def ask():
        got = await transport.fetch(head, timeout_seconds=50, body_bytes_max=size)
        return len(got.body)

    sizes = await asyncio.gather(*(ask() for _ in range(count)))
    await transport.aclose()
    # The kernel's ru_maxrss would count what the parent held when it started this process.
    peak_kib = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(json.dumps([sum(sizes), int(peak_kib) << 10]))

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


async def test_memory_stays_bounded_whatever_upstreams_send() -> None:
    """Of answers that come all at once a process holds a small part, as the system counts it."""
    size, count, limit = 16 * _MIB, 24, 32 * _MIB

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await visit.say(*[b"y" * _MIB] * (size // _MIB))
        await visit.hung_up()

    async with upstream(script) as server:
        arguments = [server.url, str(count), str(size), str(limit)]
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", _ASKING, *arguments], stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    received_bytes, peak_bytes = json.loads(out)
    assert received_bytes == size * count
    assert peak_bytes < received_bytes / 2


@pytest.mark.parametrize(
    ("memory_mib", "limit_mib"), [(512, 64), (2048, 128), (4096, 256), (1 << 20, 256)]
)
def test_the_limit_follows_the_memory(
    memory_mib: int, limit_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small container holds less."""
    monkeypatch.setattr("batchyard.places.byte_budget.memory_bytes", lambda: memory_mib << 20)
    assert ByteBudget().limit_bytes == limit_mib << 20
    assert machine.memory_bytes() > 0
