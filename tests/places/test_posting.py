"""Posts to URLs that others chose."""

from collections.abc import Sequence

import pytest

from batchyard.places.connection import Fault
from batchyard.places.posting import Address, Posting, Target
from batchyard.places.transport import Answer
from tests.places.test_transport_tls import presenting, trusting
from tests.places.upstream_server import Visit, answer, saying, upstream


class Names:
    """A resolver whose answers change each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[tuple[str, int]] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0)


def at_home(address: Address) -> bool:
    """Only this machine."""
    return address.ip == "127.0.0.1"


async def test_the_checked_address_is_the_one_that_is_called() -> None:
    """A name is resolved once; what it resolves to a moment later does not matter."""
    heads: list[bytes] = []

    async def script(visit: Visit) -> None:
        heads.append(await visit.request())
        await visit.say(answer(status=b"204 No Content"))

    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with upstream(script) as server:
        url = f"http://hooks.example:{server.port}/a?b=c"
        got = await Posting(at_home, resolve=names).post(url, {"webhook-id": "wh_1"}, b"{}")
    assert isinstance(got, Answer)
    assert got.status == 204
    assert names.asked == [("hooks.example", server.port)]
    assert heads[0].startswith(b"POST /a?b=c HTTP/1.1\r\nhost: hooks.example:%d\r\n" % server.port)
    assert b"\r\nwebhook-id: wh_1\r\n" in heads[0]
    assert heads[0].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("ips", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], []])
async def test_one_bad_address_refuses_all(ips: Sequence[str]) -> None:
    """Nothing is sent where a name leads to good and to bad."""
    async with upstream(saying(answer())) as server:
        url = f"http://hooks.example:{server.port}/"
        got = await Posting(at_home, resolve=Names(ips)).post(url, {}, b"{}")
        assert isinstance(got, Fault)
        assert (got.code, got.sent) == ("address_refused", False)
        assert server.visits == 0


async def test_the_next_address_where_one_is_dead() -> None:
    """All were checked; the first that can be reached is it."""
    async with upstream(saying(answer())) as server:
        url = f"http://hooks.example:{server.port}/"
        names = Names(["127.0.0.2", "127.0.0.1"])
        got = await Posting(lambda _: True, resolve=names).post(url, {}, b"{}")
    assert isinstance(got, Answer)


async def test_the_certificate_must_name_the_host() -> None:
    """Not the address: what was resolved is no proof of whom one talks to."""
    for name, fits in (("localhost", True), ("elsewhere", False)):
        async with upstream(saying(answer()), tls=presenting(name)) as server:
            posting = Posting(at_home, resolve=Names(["127.0.0.1"]), ssl_context=trusting())
            got = await posting.post(f"https://localhost:{server.port}/", {}, b"{}")
            assert isinstance(got, Answer) == fits
            if isinstance(got, Fault):
                assert (got.sent, "certificate" in got.detail) == (False, True)


async def test_the_status_counts_though_the_rest_never_comes() -> None:
    """An endless answer, one that drips and one that is cut said what they had to say."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"

    async def floods(visit: Visit) -> None:
        await visit.request()
        await visit.say(head)
        await visit.drip(b"x" * 65_536, pause_seconds=0.0)

    async def drips(visit: Visit) -> None:
        await visit.request()
        await visit.say(head)
        await visit.drip(b"x")

    for script in (floods, drips, saying(head)):
        async with upstream(script) as server:
            posting = Posting(at_home, timeout_seconds=0.5)
            got = await posting.post(server.url, {}, b"{}")
            assert isinstance(got, Fault)
            assert (got.status, got.sent) == (200, True)


async def test_everything_together_ends_in_time() -> None:
    """Silence, and a head that drips for ever, end at the deadline without a status."""

    async def silent(visit: Visit) -> None:
        await visit.hung_up()

    async def drips(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n")
        await visit.drip(b"a: b\r\n")

    for script in (silent, drips):
        async with upstream(script) as server:
            got = await Posting(at_home, timeout_seconds=0.3).post(server.url, {}, b"{}")
            assert isinstance(got, Fault)
            assert (got.code, got.status) == ("request_timeout", 0)


async def test_a_name_that_nobody_knows() -> None:
    """It is a fault, and so is a URL that is none."""
    posting = Posting(at_home)
    got = await posting.post("http://no-such-host.invalid/", {}, b"{}")
    assert isinstance(got, Fault)
    assert (got.code, got.sent) == ("unreachable", False)
    got = await posting.post("http://a b/", {}, b"{}")
    assert isinstance(got, Fault)
    assert got.code == "invalid_url"


def test_a_url_is_read_by_one_parser() -> None:
    """What others read otherwise is refused."""
    assert Target.parse("https://Example.com:8443/a/?b=c") == Target(
        "https", "example.com", 8443, "https://example.com:8443", "/a/?b=c"
    )
    assert Target.parse("https://example.com").path == "/"
    for bad in ("http://good\\@127.0.0.1/", "https://a/#b", "https://a:0/", "file:///etc/passwd"):
        with pytest.raises(ValueError, match=r"."):
            Target.parse(bad)
