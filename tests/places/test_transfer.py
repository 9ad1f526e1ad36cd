"""What the streaming of large bodies promises, whatever the other side does."""

import asyncio
from collections.abc import Iterator

import pytest

from batchyard.places.connection import Fault
from batchyard.places.transfer import BrokenError, Transfer
from tests.places.test_transport_tls import presenting, trusting
from tests.places.upstream_server import Script, Visit, answer, saying, upstream

HEAD = b"POST /v1/files HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n"
# More than sockets hold.
PIECE, COUNT = b"z" * 400_000, 50
SLOW = 5.0


def parts() -> Iterator[bytes]:
    for _ in range(COUNT):
        yield PIECE


async def fault_of(script: Script, silence_seconds: float = SLOW) -> Fault:
    """How a call with a large body ends at a server of this kind."""
    async with upstream(script) as server:
        transfer = Transfer(server.url, silence_seconds=silence_seconds)
        with pytest.raises(BrokenError) as error:
            async with transfer.call(HEAD % (COUNT * len(PIECE)), parts()) as arriving:
                await arriving.read(1_000_000)
    return error.value.fault


@pytest.mark.parametrize("secret", [True, False])
async def test_large_bodies_go_and_come(secret: bool) -> None:
    """With and without TLS, byte for byte, in pieces."""
    asked: list[bytes] = []
    body = b"".join(parts())

    async def script(visit: Visit) -> None:
        asked.append(await visit.request())
        await visit.say(b"HTTP/1.1 103 Early\r\nx-i: 1\r\n\r\n", answer(body, b"X-Said: a"))

    async with upstream(script, tls=presenting("localhost") if secret else None) as server:
        scheme = "https" if secret else "http"
        url = f"{scheme}://localhost:{server.port}/v1" if secret else server.url
        transfer = Transfer(url, ssl_context=trusting())
        async with transfer.call(HEAD % len(body), parts()) as arriving:
            assert (arriving.status, arriving.said(b"x-said")) == (200, b"a")
            came = [piece async for piece in arriving.pieces()]
    assert asked == [HEAD % len(body) + body]
    assert b"".join(came) == body
    assert max(map(len, came)) < len(body) / 4


async def test_a_wrong_certificate_hears_nothing() -> None:
    """Not a byte of the body leaves."""
    async with upstream(saying(answer()), tls=presenting("elsewhere")) as server:
        transfer = Transfer(f"https://localhost:{server.port}/v1", ssl_context=trusting())
        with pytest.raises(BrokenError) as error:
            async with transfer.call(HEAD % 0):
                pass
    assert (error.value.fault.code, error.value.fault.sent) == ("upstream_unreachable", False)


async def deaf(visit: Visit) -> None:
    await visit.request_head()
    await asyncio.Event().wait()


async def dumb(visit: Visit) -> None:
    await visit.request()
    await visit.hung_up()


async def stops(visit: Visit) -> None:
    await visit.request()
    await visit.say(answer(PIECE)[:1_000])
    await visit.hung_up()


@pytest.mark.parametrize("script", [deaf, dumb, stops])
async def test_silence_has_an_end(script: Script) -> None:
    """Whoever says nothing, or nothing more, is not waited for."""
    fault = await fault_of(script, silence_seconds=0.3)
    assert (fault.code, fault.sent) == ("request_timeout", True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(PIECE)[:1_000], "upstream_unreachable"),
        (b"", "upstream_unreachable"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc", "upstream_unreachable"),
        (b"SMTP ready\r\n\r\n", "invalid_upstream_response"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, "invalid_upstream_response"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 17 + answer(), "invalid_upstream_response"),
        (answer(b"x" * 1_000_001), "response_too_large"),
    ],
)
async def test_bad_answers_are_no_answers(said: bytes, code: str) -> None:
    """Cut short, no HTTP, or more than was asked for: each has its code."""
    fault = await fault_of(saying(said))
    assert (fault.code, fault.sent) == (code, True)


async def test_an_answer_without_a_size_ends_with_its_connection() -> None:
    """It says that it cannot be told from one that was cut short."""
    async with (
        upstream(saying(b"HTTP/1.1 200 OK\r\n\r\nabc")) as server,
        Transfer(server.url).call(HEAD % 0) as arriving,
    ):
        assert not arriving.tells_its_end
        assert await arriving.read(10) == b"abc"
