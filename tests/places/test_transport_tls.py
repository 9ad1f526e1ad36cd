"""Whom the transport trusts: certificates that are right, and no others."""

import asyncio
import ssl
from pathlib import Path

import pytest

from batchyard.places.transport import Answer, Fault, Transport, head_for
from tests.places.upstream_server import Visit, answer, saying, serving, upstream

# The authority of these certificates was made for the tests; its key was thrown away.
CERTIFICATES = Path(__file__).parent / "certificates"


def presenting(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


async def ask(url: str, context: ssl.SSLContext | None, times: int = 1) -> list[Answer | Fault]:
    transport = Transport(url, ssl_context=context, connect_timeout_seconds=5)
    head = head_for(url, "GET", "/models", {}) + b"0\r\n\r\n"
    try:
        return [
            await transport.fetch(head, timeout_seconds=5, body_bytes_max=1_000_000)
            for _ in range(times)
        ]
    finally:
        await transport.aclose()


async def test_trusted_certificate_serves() -> None:
    """Over TLS answers come and connections are kept as without."""
    body = b"y" * 300_000
    async with upstream(serving(answer(body)), tls=presenting("localhost")) as server:
        for got in await ask(f"https://localhost:{server.port}/v1", trusting(), times=2):
            assert isinstance(got, Answer)
            assert body == got.body
        assert server.visits == 1


@pytest.mark.parametrize(
    ("name", "trusts", "detail"),
    [
        ("elsewhere", True, "Hostname mismatch"),
        ("expired", True, "expired"),
        ("localhost", False, "unable to get local issuer"),
    ],
)
async def test_wrong_certificate_is_refused(name: str, trusts: bool, detail: str) -> None:
    """A wrong name, a past date or an unknown authority ends the call before a byte is sent."""
    async with upstream(serving(answer()), tls=presenting(name)) as server:
        url = f"https://localhost:{server.port}/v1"
        [fault] = await ask(url, trusting() if trusts else None)
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == ("upstream_unreachable", False)
        assert "certificate" in fault.detail
        assert detail in fault.detail


async def test_upstream_without_tls_is_refused() -> None:
    """A server that speaks plain HTTP to an https URL gets nothing."""

    async def script(visit: Visit) -> None:
        await visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await visit.hung_up()

    async with upstream(script) as server:
        [fault] = await ask(f"https://localhost:{server.port}", trusting())
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == ("upstream_unreachable", False)
        assert "does not speak TLS; its URL may have to begin with http://" in fault.detail


async def test_an_unknown_issuer_is_told_with_what_to_do() -> None:
    """Where the certificate may be of a CA of one's own, the setting that names it is told."""
    async with upstream(saying(answer()), tls=presenting("localhost")) as server:
        [fault] = await ask(f"https://localhost:{server.port}", None)
        assert isinstance(fault, Fault)
        assert "`ca_file`" in fault.detail
        assert "SSL_CERT_FILE" in fault.detail
    async with upstream(saying(answer()), tls=presenting("elsewhere")) as server:
        [fault] = await ask(f"https://localhost:{server.port}", trusting())
        assert isinstance(fault, Fault)
        assert "ca_file" not in fault.detail


async def test_stalled_handshake_has_a_deadline() -> None:
    """A server that accepts and never shakes hands is left at the deadline."""

    async def script(visit: Visit) -> None:
        await visit.hung_up()

    async with upstream(script) as server:
        url = f"https://localhost:{server.port}"
        transport = Transport(url, ssl_context=trusting(), connect_timeout_seconds=0.1)
        head = head_for(url, "GET", "/models", {}) + b"0\r\n\r\n"
        fault, late = await asyncio.gather(
            transport.fetch(head, timeout_seconds=5, body_bytes_max=99),
            transport.fetch(head, timeout_seconds=0.03, body_bytes_max=99),
        )
        await transport.aclose()
    assert isinstance(fault, Fault)
    assert "within 0.1 seconds" in fault.detail
    assert isinstance(late, Fault)
    assert (late.code, late.sent) == ("request_timeout", False)


async def test_cut_over_tls_is_a_fault() -> None:
    """A connection that ends within an answer is a fault over TLS too."""

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer(b"{}")[:-1])

    async with upstream(script, tls=presenting("localhost")) as server:
        [fault] = await ask(f"https://localhost:{server.port}", trusting())
        assert isinstance(fault, Fault)
        assert (fault.code, fault.sent) == ("upstream_unreachable", True)
