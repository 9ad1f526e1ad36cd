"""What the transport makes of upstreams that fail, lie or stall."""

import asyncio
import contextlib
import socket
from contextlib import aclosing

import pytest

from batchyard.places.transport import Answer, Fault, Resending, Transport, head_for
from tests.places.upstream_server import (
    Script,
    UpstreamServer,
    Visit,
    answer,
    saying,
    serving,
    upstream,
)

BODY = b'{"model": "m"}'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def ask(
    transport: Transport, *, timeout_seconds: float = 10, body_bytes_max: int = 10_000
) -> Answer | Fault:
    head = head_for("http://upstream/v1", "POST", "/chat/completions", {})
    return await transport.fetch(
        head + b"%d\r\n\r\n" % len(BODY),
        BODY,
        timeout_seconds=timeout_seconds,
        body_bytes_max=body_bytes_max,
    )


async def _silent(visit: Visit) -> None:
    await visit.request()
    await visit.hung_up()


async def _dripping_head(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\nx: ")
    await visit.drip(b"y")


async def _dripping_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n")
    await visit.drip(b"y")


async def _resetting(visit: Visit) -> None:
    await visit.request()
    visit.reset()


async def _resetting_in_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    visit.reset()


async def _resetting_in_endless_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{")
    visit.reset()


async def _interim_forever(visit: Visit) -> None:
    await visit.request()
    await visit.drip(b"HTTP/1.1 102 Processing\r\n\r\n", pause_seconds=0.001)


async def _body_forever(visit: Visit) -> None:
    await visit.request()
    await visit.say(CHUNKED)
    await visit.drip(b"3e8\r\n" + b"y" * 1000 + b"\r\n", pause_seconds=0.001)


async def _head_forever(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\nx: ")
    await visit.drip(b"y" * 50_000, pause_seconds=0.001)


async def _trailers_forever(visit: Visit) -> None:
    await visit.request()
    await visit.say(CHUNKED, b"2\r\n{}\r\n0\r\n")
    await visit.drip(b"x: " + b"y" * 50_000 + b"\r\n", pause_seconds=0.001)


UNREACHABLE = "upstream_unreachable"
INVALID = "invalid_upstream_response"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
HTTP2_GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"

FAULTS: dict[str, tuple[Script, str, str]] = {
    "reset": (_resetting, UNREACHABLE, "before an answer"),
    "reset in the body": (_resetting_in_body, UNREACHABLE, "bytes of an answer"),
    "reset in a body up to the end": (_resetting_in_endless_body, UNREACHABLE, "broke"),
    "closed without a word": (saying(), UNREACHABLE, "closed the connection before"),
    "closed in the status line": (saying(b"HTTP/1.1 2"), UNREACHABLE, "after 10 bytes"),
    "closed in the head": (saying(b"HTTP/1.1 200 OK\r\nx: y\r\n"), UNREACHABLE, "closed"),
    "closed in the body": (saying(answer(b"{}")[:-1]), UNREACHABLE, "closed"),
    "closed in a chunk": (saying(CHUNKED, b"5\r\n{}"), UNREACHABLE, "closed"),
    "closed before the last chunk": (saying(CHUNKED, b"2\r\n{}\r\n"), UNREACHABLE, "closed"),
    "closed after an interim answer": (
        saying(b"HTTP/1.1 100 Continue\r\n\r\n"),
        UNREACHABLE,
        "closed",
    ),
    "not HTTP": (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), INVALID, "not HTTP"),
    "HTTP/2": (saying(HTTP2_GOAWAY), INVALID, "not HTTP"),
    "bad chunk": (saying(CHUNKED, b"zz\r\n{}\r\n"), INVALID, "not HTTP"),
    "bad length": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n"), INVALID, "not HTTP"),
    "two lengths": (saying(TWO_LENGTHS), INVALID, "not HTTP"),
    "another protocol": (saying(UPGRADE), INVALID, "not HTTP"),
    "endless interim answers": (_interim_forever, INVALID, "interim"),
    "endless header": (_head_forever, INVALID, "headers are larger"),
    "endless trailers": (_trailers_forever, INVALID, "headers are larger"),
    "large header at once": (
        saying(answer(b"{}", b"x: " + b"y" * 5_000_000)),
        INVALID,
        "headers are larger",
    ),
    "endless body": (_body_forever, "response_too_large", "10000 bytes"),
    "large body": (saying(answer(b"y" * 10_001)), "response_too_large", "10000 bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_its_code(name: str) -> None:
    """An upstream that breaks an answer gets the call its fault, at once and only once."""
    script, code, detail = FAULTS[name]
    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        fault = await ask(transport)
        assert isinstance(fault, Fault)
        assert (code, True) == (fault.code, fault.sent)
        assert detail in fault.detail
        # The connection was closed, and a connection that had not served is not tried again.
        assert await server.over.get() == 1
        assert (server.visits, transport.in_flight) == (1, 0)


@pytest.mark.parametrize("script", [_silent, _dripping_head, _dripping_body])
async def test_deadline_covers_the_whole_answer(script: Script) -> None:
    """Neither silence nor a byte now and then keeps a call beyond its deadline."""
    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        fault = await ask(transport, timeout_seconds=0.1)
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == ("request_timeout", True)
        assert await server.over.get() == 1


async def test_timed_out_connection_is_not_used_again() -> None:
    """The late answer to one call can never be taken for the answer to the next."""

    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 1:
            await visit.hung_up()
        await visit.say(answer(b"%d" % visit.number))

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        late = await ask(transport, timeout_seconds=0.05)
        assert isinstance(late, Fault)
        second = await ask(transport)
        assert isinstance(second, Answer)
        assert (second.body, server.visits) == (b"2", 2)


async def test_deadline_covers_a_request_that_is_not_read() -> None:
    """An upstream that stops reading does not hold a call with a large body."""

    async def script(visit: Visit) -> None:
        await asyncio.Event().wait()

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        body = b"y" * 30_000_000
        fault = await transport.fetch(
            b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body),
            body,
            timeout_seconds=0.2,
            body_bytes_max=1000,
        )
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == ("request_timeout", True)


async def test_deadlines_pass_in_their_own_order() -> None:
    """A short deadline is kept although a call with a long one was sent before."""
    ended: list[float] = []
    both = asyncio.Event()

    async with upstream(_silent) as server, aclosing(Transport(server.url)) as transport:

        def done(timeout_seconds: float, outcome: Answer | Fault) -> None:
            assert isinstance(outcome, Fault)
            ended.append(timeout_seconds)
            if len(ended) == 2:
                both.set()

        def note(timeout_seconds: float) -> None:
            head = b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
            transport.send(
                head,
                b"",
                deadline=asyncio.get_running_loop().time() + timeout_seconds,
                body_bytes_max=1,
                done=done,
                ticket=timeout_seconds,
            )

        note(0.2)
        note(0.05)
        await both.wait()
        assert ended == [0.05, 0.2]


async def test_nobody_listens() -> None:
    """A refused connection is a fault that says that nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with aclosing(Transport(f"http://127.0.0.1:{unused.getsockname()[1]}")) as transport:
            fault = await ask(transport)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.sent) == (UNREACHABLE, False)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid", "a..b"])
async def test_no_such_host(host: str) -> None:
    """A name that does not resolve, or cannot, is a fault that names it."""
    async with aclosing(Transport(f"http://{host}:81/v1")) as transport:
        fault = await ask(transport)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.sent) == (UNREACHABLE, False)
    assert host in fault.detail


async def test_connecting_has_its_own_limit() -> None:
    """A host that takes no connection is given up after the connect timeout."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        with contextlib.ExitStack() as filling:
            for _ in range(4):
                one = filling.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(place)
            async with aclosing(
                Transport(f"http://127.0.0.1:{place[1]}", connect_timeout_seconds=0.1)
            ) as transport:
                fault = await ask(transport)
                in_time = await ask(transport, timeout_seconds=0.03)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.sent) == (UNREACHABLE, False)
    assert "within 0.1 seconds" in fault.detail
    assert isinstance(in_time, Fault)
    assert (in_time.code, in_time.sent) == ("request_timeout", False)


async def test_one_of_two_connections_is_accepted() -> None:
    """Each failed connection costs one call, not all that wait."""

    async def script(visit: Visit) -> None:
        if visit.number % 2:
            visit.reset()
        else:
            await visit.request()
            await visit.say(answer())
            await visit.hung_up()

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        outcomes = await asyncio.gather(*(ask(transport) for _ in range(10)))
        good = [one for one in outcomes if isinstance(one, Answer)]
        assert 5 <= len(good) < 10


# A connection is idle from the moment its call has ended.
def at_once(server: UpstreamServer) -> Transport:
    return Transport(server.url, resending=Resending(idle_seconds_min=0.0))


async def test_stale_connection_is_replaced() -> None:
    """A request that met a closing idle connection is sent once more, on a new one, and told."""

    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 1:
            await visit.say(answer(b"first"))
            await visit.request()
            visit.reset()
        else:
            await visit.say(answer(b"second"))

    async with (
        upstream(script) as server,
        aclosing(at_once(server)) as transport,
    ):
        retried: list[object] = []
        transport.on_retry = retried.append
        first, second = await ask(transport), await ask(transport)
        assert len(retried) == 1
        assert isinstance(first, Answer)
        assert isinstance(second, Answer)
        assert (first.body, second.body) == (b"first", b"second")
        assert server.visits == 2


async def test_stale_connection_is_replaced_once() -> None:
    """A request whose second, new connection closes too is not sent a third time."""

    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 1:
            await visit.say(answer())
            await visit.request()

    async with (
        upstream(script) as server,
        aclosing(at_once(server)) as transport,
    ):
        await ask(transport)
        fault = await ask(transport)
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == (UNREACHABLE, True)
        assert server.visits == 2


async def test_replaced_connection_that_is_refused_tells_what_was_sent() -> None:
    """The first attempt counts: its bytes may have reached the upstream."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer())
        await visit.request()
        server.refuse()
        visit.reset()

    async with (
        upstream(script) as server,
        aclosing(at_once(server)) as transport,
    ):
        await ask(transport)
        fault = await ask(transport)
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == (UNREACHABLE, True)
        assert server.visits == 1


@pytest.mark.parametrize("is_first_word_said", [True, False])
async def test_begun_answer_is_not_asked_for_again(is_first_word_said: bool) -> None:
    """Once a byte of an answer has come, the request is the caller's to repeat."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer())
        if visit.number == 1:
            await visit.request()
            await visit.say(b"H" if is_first_word_said else b"")

    async with (
        upstream(script) as server,
        aclosing(at_once(server)) as transport,
    ):
        await ask(transport)
        outcome = await ask(transport)
        assert is_first_word_said == isinstance(outcome, Fault)
        assert (1 if is_first_word_said else 2) == server.visits


async def _serving_once(visit: Visit) -> None:
    """Take each second request of a connection, and close without a byte."""
    await visit.request()
    await visit.say(answer())
    await visit.request()


@pytest.mark.parametrize(
    "resending",
    [Resending(), Resending(idle_seconds_min=0.0, seconds_max=-1.0)],
    ids=["in use", "slow to close"],
)
async def test_who_has_read_a_request_is_not_asked_again(resending: Resending) -> None:
    """A connection that was in use, or that is closed after a while, was not stale."""
    async with (
        upstream(_serving_once) as server,
        aclosing(Transport(server.url, resending=resending)) as transport,
    ):
        retried: list[object] = []
        transport.on_retry = retried.append
        outcomes = [await ask(transport) for _ in range(12)]
        # After the third it is seen that each connection serves but once.
        expected = [True, False] * 3 + [True] * 6
        assert [isinstance(one, Answer) for one in outcomes] == expected
        assert (server.visits, retried) == (9, [])


async def test_connections_that_go_stale_are_kept_for_less_long() -> None:
    """After one was closed for being idle, others are closed here before that, without a call."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer())
        await (visit.request() if visit.number == 1 else visit.hung_up())

    async with upstream(script) as server, aclosing(at_once(server)) as transport:
        await ask(transport)
        assert isinstance(await ask(transport), Answer)
        async with asyncio.timeout(20):
            assert {await server.over.get(), await server.over.get()} == {1, 2}


async def test_a_fresh_call_leaves_idle_connections_alone() -> None:
    """It has a connection of its own, which serves others afterwards."""
    async with upstream(serving(answer())) as server, aclosing(Transport(server.url)) as transport:
        await ask(transport)
        ended: asyncio.Queue[Answer | Fault] = asyncio.Queue()
        for visits in (2, 3):
            transport.send(
                b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                b"",
                deadline=asyncio.get_running_loop().time() + 9,
                body_bytes_max=99,
                done=asyncio.Queue.put_nowait,
                ticket=ended,
                fresh=True,
            )
            assert isinstance(await ended.get(), Answer)
            assert server.visits == visits
        await asyncio.gather(*(ask(transport) for _ in range(3)))
        assert server.visits == 3


SURPLUS = {
    "garbage": b"garbage",
    "a second answer": answer(b"poison"),
    "half an answer": answer(b"poison")[:9],
}


@pytest.mark.parametrize("name", SURPLUS)
async def test_surplus_bytes_close_the_connection(name: str) -> None:
    """Bytes after a complete answer never become the answer to the next request."""
    async with (
        upstream(serving(answer(b"good") + SURPLUS[name])) as server,
        aclosing(Transport(server.url)) as transport,
    ):
        for visits in (1, 2):
            got = await ask(transport)
            assert isinstance(got, Answer)
            assert (b"good", visits) == (got.body, server.visits)


async def test_bytes_while_idle_close_the_connection() -> None:
    """An answer to nothing closes the connection it came on."""
    may_speak = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer(b"%d" % visit.number))
        await may_speak.wait()
        await visit.say(answer(b"poison"))
        await visit.hung_up()

    async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
        await ask(transport)
        may_speak.set()
        assert await server.over.get() == 1
        second = await ask(transport)
        assert isinstance(second, Answer)
        assert second.body == b"2"


async def test_fault_tells_nothing_of_the_request() -> None:
    """No detail of a fault shows the key or the body."""
    for script, _, _ in FAULTS.values():
        async with upstream(script) as server, aclosing(Transport(server.url)) as transport:
            head = head_for(server.url, "POST", "/x", {"authorization": "Bearer secret-key"})
            fault = await transport.fetch(
                head + b"11\r\n\r\n", b"secret-body", timeout_seconds=9, body_bytes_max=10_000
            )
            assert isinstance(fault, Fault)
            assert "secret" not in fault.detail
