"""Secrets of our own requests never come back in what is told of them."""

from contextlib import aclosing

import pytest

from batchyard.places.masking import Mask
from batchyard.places.transport import Answer, Fault, Transport
from batchyard.places.upstreams import Upstream, UpstreamSettings
from tests.places.upstream_server import Visit, answer, saying, upstream

KEY = "sk-proj-abc/DEF+0123456789"
EXTRA = {"x-gateway-token": "gate-0123456789", "anthropic-version": "2023-06-01"}


def told(outcome: Answer | Fault) -> str:
    """All of it."""
    return repr(outcome)


ECHOES = {
    "an error": answer(b'{"error":"%b"}' % KEY.encode(), status=b"401 No"),
    "an error in PHP": answer(
        b'{"error":"%b"}' % KEY.replace("/", "\\/").encode(), status=b"500 Oops"
    ),
    "all headers": answer(
        b"authorization: Bearer %b, x-gateway-token: gate-0123456789" % KEY.encode(),
        status=b"400 Bad",
    ),
    "a request id": answer(b"{}", b"x-request-id: %b" % KEY.encode(), status=b"404 None"),
    "a redirect": answer(b"", b"location: /login?key=gate-0123456789", status=b"302 Found"),
    "an encoding": answer(b"{}", b"content-encoding: Bearer %b" % KEY.encode()),
    "no HTTP": b"hello %b\r\n\r\n" % KEY.encode(),
    "no HTTP, and a part": b"HTTP/1.1 200 OK\r\n%b" % KEY.encode()[:12],
    "no HTTP, cut": b"hello " + KEY.encode()[:20],
}


@pytest.mark.parametrize("echo", ECHOES)
async def test_an_upstream_that_echoes_a_key_does_not_give_it_away(echo: str) -> None:
    """Neither in an error, nor in its headers, nor in what we say of an answer that is none."""
    async with upstream(saying(ECHOES[echo])) as server:
        settings = UpstreamSettings(url=server.url, headers=EXTRA)
        async with aclosing(Upstream(settings, KEY).transport) as transport:
            outcome = await transport.fetch(
                b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                timeout_seconds=20,
                body_bytes_max=1_000,
            )
    for secret in (KEY, KEY[:12], "gate-0123456789"):
        assert secret not in told(outcome)
        assert secret.replace("/", "\\/") not in told(outcome)


async def test_what_is_no_secret_stays() -> None:
    """An error that names a version, and a success, say what they said."""
    body = b'{"error":"2023-06-01 is too old; EMPTY"}'

    async def script(visit: Visit) -> None:
        for status in (b"400 Bad", b"200 OK"):
            await visit.request()
            await visit.say(answer(body, status=status))

    async with upstream(script) as server:
        settings = UpstreamSettings(url=server.url, headers=EXTRA)
        async with aclosing(Upstream(settings, "EMPTY").transport) as transport:
            for _ in range(2):
                outcome = await transport.fetch(
                    b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                    timeout_seconds=20,
                    body_bytes_max=1_000,
                )
                assert isinstance(outcome, Answer)
                assert outcome.body == body


@pytest.mark.parametrize(
    ("came", "detail"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "This is TLS: the URL may have to begin with https://"),
        (b"\x00\x00\x08\x07" + b"\0" * 13, "This is HTTP/2"),
        (b"<html><body>Log in\x1b[31m</body>", "begins with '<html><body>Log in\\x1b[31m</body>'"),
        (b"220 mail ESMTP\r\n", "'220 mail ESMTP\\r\\n'"),
        (b"x" * 500, "'" + "x" * 80 + "...'"),
    ],
)
async def test_what_came_instead_of_http_is_told(came: bytes, detail: str) -> None:
    """The first bytes tell who answered; control characters are escaped."""
    async with upstream(saying(came)) as server, aclosing(Transport(server.url)) as transport:
        outcome = await transport.fetch(
            b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", timeout_seconds=20, body_bytes_max=99
        )
    assert isinstance(outcome, Fault)
    assert outcome.code == "invalid_upstream_response"
    assert detail in outcome.detail


def test_one_secret_within_another_leaves_nothing() -> None:
    """The longest goes first."""
    mask = Mask({"a": "01234567", "b": "01234567-and-more"})
    assert mask.bytes_of(b"<01234567-and-more>") == b"<***>"
    assert mask.bytes_of(b"<01234567-and>") == b"<***-and>"
