"""What the transport promises of calls that go well, and of those that are dropped."""

import asyncio
import math
import resource
import socket
from contextlib import aclosing

import pytest

from batchyard.places.transport import Answer, Call, Fault, Transport
from tests.places.upstream_server import Visit, answer, saying, serving, upstream

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: "


async def ask(transport: Transport, body: bytes = b"{}") -> Answer:
    outcome = await transport.fetch(
        HEAD + b"%d\r\n\r\n" % len(body), body, timeout_seconds=20, body_bytes_max=50_000_000
    )
    assert isinstance(outcome, Answer), outcome
    return outcome


def send(transport: Transport, outcomes: "asyncio.Queue[Answer | Fault]") -> Call:
    return transport.send(
        HEAD + b"2\r\n\r\n",
        b"{}",
        deadline=asyncio.get_running_loop().time() + 20,
        body_bytes_max=1000,
        done=asyncio.Queue.put_nowait,
        ticket=outcomes,
    )


async def test_answer_comes_as_it_was_sent() -> None:
    """Status, headers in order and with repeats, and the body's very bytes reach the caller."""
    raw = answer(
        b'{"a" : "\\u00e9"}\n', b"X-Two: b", b"x-two:  A ", b"X-Empty:", status=b"429 Slow down"
    )
    async with upstream(serving(raw)) as server, aclosing(Transport(server.url)) as transport:
        got = await ask(transport)
    assert got.status == 429
    assert got.body == b'{"a" : "\\u00e9"}\n'
    assert [(name, value.strip()) for name, value in got.headers] == [
        (b"x-two", b"b"),
        (b"x-two", b"A"),
        (b"x-empty", b""),
        (b"content-length", b"17"),
    ]


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{} \r\n2\r\n{}\r\n0\r\n"
FORMS = {
    "length": (answer(b"{} {}"), 200, b"{} {}"),
    "chunks": (CHUNKS + b"\r\n", 200, b"{} {}"),
    "chunks and trailers": (CHUNKS + b"x-late: 1\r\n\r\n", 200, b"{} {}"),
    "up to the end": (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{} {}", 200, b"{} {}"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n{} {}", 200, b"{} {}"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "after interim answers": (b"HTTP/1.1 103 Early\r\nx-i: 1\r\n\r\n" * 3 + answer(), 200, b"{}"),
    "identity": (answer(b"{}", b"content-encoding: Identity"), 200, b"{}"),
    "redirect": (answer(b"", b"location: http://169.254.169.254/", status=b"307 T"), 307, b""),
}


@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_an_answer_is_read(form: str, pieces: str) -> None:
    """However an answer is framed and however it is cut on its way, it arrives whole."""
    raw, status, body = FORMS[form]
    parts = [raw] if pieces == "at once" else [raw[at : at + 1] for at in range(len(raw))]
    async with upstream(saying(*parts)) as server, aclosing(Transport(server.url)) as transport:
        got = await ask(transport)
    assert (status, body) == (got.status, got.body)
    assert not {b"x-late", b"x-i"} & {name for name, _ in got.headers}


async def test_large_bodies_pass_both_ways() -> None:
    """Bodies far larger than any socket buffer are carried unchanged."""
    large = bytes(range(256)) * 40_000

    async def echo(visit: Visit) -> None:
        while True:
            request = await visit.request()
            await visit.say(answer(request.partition(b"\r\n\r\n")[2]))

    async with upstream(echo) as server, aclosing(Transport(server.url)) as transport:
        assert large == (await ask(transport, large)).body
        assert (await ask(transport)).body == b"{}"
        assert server.visits == 1


async def test_connections_are_kept_and_shared() -> None:
    """Calls one after another need one connection; calls at once need one each."""
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        for _ in range(5):
            await ask(transport)
        assert server.visits == 1
        await asyncio.gather(*(ask(transport) for _ in range(4)))
        assert server.visits == 4


@pytest.mark.parametrize(
    "raw", [answer(b"{}", b"connection: close"), answer().replace(b"/1.1", b"/1.0")]
)
async def test_connection_is_closed_when_the_upstream_wishes(raw: bytes) -> None:
    """After `connection: close`, or HTTP/1.0 without a word on it, the next call connects anew."""
    async with upstream(serving(raw)) as server, aclosing(Transport(server.url)) as transport:
        await ask(transport)
        await ask(transport)
        assert server.visits == 2


async def test_idle_connections_are_bounded_in_number() -> None:
    """What is more than the bound is closed as soon as its call has ended."""
    async with (
        upstream(serving(answer())) as server,
        aclosing(Transport(server.url, idle_connections_max=2)) as transport,
    ):
        await asyncio.gather(*(ask(transport) for _ in range(5)))
        assert len({await server.over.get() for _ in range(3)}) == 3
        await asyncio.gather(ask(transport), ask(transport))
        assert server.visits == 5


async def test_idle_connections_are_bounded_in_time() -> None:
    """An idle connection is closed after a while, without a call to notice it."""
    async with (
        upstream(serving(answer())) as server,
        aclosing(Transport(server.url, idle_timeout_seconds=0.05)) as transport,
    ):
        await asyncio.gather(*(ask(transport) for _ in range(5)))
        assert len({await server.over.get() for _ in range(5)}) == 5


async def test_waiting_calls_take_connections_as_they_become_free() -> None:
    """Of a rush of calls, those that wait to connect do not wait when a connection is free."""
    async with (
        upstream(serving(answer())) as server,
        aclosing(Transport(server.url)) as transport,
    ):
        await asyncio.gather(*(ask(transport) for _ in range(400)))
        assert server.visits < 400


async def test_connection_closed_while_idle_is_not_used() -> None:
    """A call after the upstream closed an idle connection meets a new one."""
    async with upstream(saying(answer())) as server, aclosing(Transport(server.url)) as transport:
        for visits in (1, 2):
            await ask(transport)
            assert visits == await server.over.get()


async def test_early_answer_ends_the_connection() -> None:
    """An answer to a request that is not yet read is taken, and its connection left behind."""

    async def script(visit: Visit) -> None:
        await visit.request_head()
        await visit.say(answer(b"no", status=b"413 Too Large"))
        await asyncio.Event().wait()

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        for visits in (1, 2):
            got = await ask(transport, b"y" * 30_000_000)
            assert (413, visits) == (got.status, server.visits)


async def test_done_is_called_later() -> None:
    """Nothing is told from within `send`, be the connection new or kept."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        for _ in range(2):
            send(transport, outcomes)
            assert (outcomes.qsize(), transport.in_flight) == (0, 1)
            assert isinstance(await outcomes.get(), Answer)
            assert (outcomes.qsize(), transport.in_flight) == (0, 0)


async def test_done_may_send_the_next() -> None:
    """A chain of calls, each sent from the end of the one before, runs on one connection."""
    finished = asyncio.Event()
    left = 100

    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:

        def done(_ticket: None, _outcome: Answer | Fault) -> None:
            nonlocal left
            left -= 1
            if left:
                begin()
            else:
                finished.set()

        def begin() -> None:
            transport.send(
                HEAD + b"2\r\n\r\n",
                b"{}",
                deadline=asyncio.get_running_loop().time() + 9,
                body_bytes_max=99,
                done=done,
                ticket=None,
            )

        begin()
        await finished.wait()
        assert server.visits == 1


async def test_cancelled_call_says_nothing() -> None:
    """A cancelled call closes its connection, is not in flight, and is never told of."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        asked.set()
        if visit.number == 1:
            await visit.hung_up()
        await visit.say(answer(b"%d" % visit.number))

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        call = send(transport, outcomes)
        await asked.wait()
        call.cancel()
        call.cancel()
        assert (await server.over.get(), transport.in_flight) == (1, 0)
        assert (await ask(transport)).body == b"2"
        assert outcomes.empty()


async def test_call_cancelled_before_it_is_connected_is_not_sent() -> None:
    """Its connection serves the next call instead."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        send(transport, outcomes).cancel()
        await ask(transport)
        assert server.visits == 1
        assert outcomes.empty()


async def test_cancel_after_the_end_does_no_harm() -> None:
    """The connection of an ended call belongs to others and stays."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        call = send(transport, outcomes)
        await outcomes.get()
        send(transport, outcomes)
        call.cancel()
        assert isinstance(await outcomes.get(), Answer)
        assert server.visits == 1


async def test_closing_drops_everything() -> None:
    """After `aclose` all connections are gone, no call is told of, and none can be sent."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        asked.set()
        await visit.hung_up()

    async with upstream(script) as server:
        transport = Transport(server.url)
        send(transport, outcomes)
        fetching = asyncio.ensure_future(ask(transport))
        await asked.wait()
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert (transport.in_flight, outcomes.empty()) == (0, True)
        with pytest.raises(RuntimeError, match="closed"):
            send(transport, outcomes)
        for _ in range(server.visits):
            await server.over.get()


async def test_answer_on_its_way_is_dropped_by_closing() -> None:
    """An answer that comes while connections are still being closed is not told of."""
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        asked.set()
        await may_answer.wait()
        await visit.say(answer())

    async with upstream(script) as server:
        transport = Transport(server.url)
        send(transport, outcomes)
        await asked.wait()
        send(transport, outcomes)
        may_answer.set()
        await asyncio.gather(transport.aclose(), transport.aclose())
        assert await server.over.get() == 1
        assert outcomes.empty()


async def test_address_may_be_ipv6() -> None:
    """A host in brackets is an address."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        async with (
            upstream(serving(answer()), host="::1") as server,
            aclosing(Transport(f"http://[::1]:{server.port}/v1")) as transport,
        ):
            assert (await ask(transport)).body == b"{}"
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


class _Patient(asyncio.Protocol):
    """Answers nobody before everybody has asked."""

    waiting: list[asyncio.WriteTransport]
    expected: int

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting.append(self.transport)  # type: ignore[arg-type]
        if len(self.waiting) == self.expected:
            for one in self.waiting:
                one.write(answer())


async def test_thousands_of_calls_are_in_flight_at_once() -> None:
    """Five thousand calls all reach an upstream that answers the first after the last came."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else 1_000_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, 12_000)), hard))
    count = min(5_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500) // 2)
    server_side = type("Patient", (_Patient,), {"waiting": [], "expected": count})
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server_side, "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    outcomes: asyncio.Queue[Answer | Fault] = asyncio.Queue()
    async with aclosing(Transport(url)) as transport:
        for _ in range(count):
            send(transport, outcomes)
        assert count == transport.in_flight
        got = [await outcomes.get() for _ in range(count)]
    listening.close()
    await listening.wait_closed()
    assert all(isinstance(one, Answer) for one in got)


async def test_deadline_may_be_never() -> None:
    """A call without a deadline is a call like others."""
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        got = await transport.fetch(
            HEAD + b"0\r\n\r\n", timeout_seconds=math.inf, body_bytes_max=99
        )
        assert isinstance(got, Answer)
