"""Faults befall whom they should, as often as they should, and look as they are called."""

import asyncio
import json
from collections import Counter
from email.utils import parsedate_to_datetime

import pytest

from batchyard.sim import Running, SimOptions
from batchyard.sim.faults import RETRY_AFTER_FORMS, Faults, Luck
from tests.sim.asking import CHAT, Seen, ask, ask_chat, get, post, read
from tests.sim.conftest import Starting


async def befallen(starting: Starting, fault: str) -> Running:
    """A simulated upstream that has one fault, always."""
    return await starting(SimOptions(faults=Faults.parse(f"{fault}:1")))


def test_shares_and_counts_are_read() -> None:
    """Both forms go together, with spaces where one likes them."""
    read = Faults.parse("429:0.05, 500@2,hang:0.01,429-ms@1")
    assert read.shares == (("429", 0.05), ("hang", 0.01))
    assert read.first == (("500", 2), ("429-ms", 1))
    assert Faults.parse("") == Faults()


@pytest.mark.parametrize(
    "text",
    ["500", "500:2", "500:-1", "500:nan", "500:x", "500@0", "500@x", "odd:1", "200:1", "429-no:1"],
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(ValueError, match=r"no (fault|share|count): '"):
        Faults.parse(text)
    with pytest.raises(ValueError, match="above 1"):
        Faults.parse("500:0.6,502:0.6")


def test_faults_come_as_often_as_asked() -> None:
    """Over many bodies each fault has its share, and the same seed has the same faults."""
    faults = Faults.parse("429:0.1,hang:0.02")
    drawn = [Luck(faults, 1).draw("/", number) for number in range(5000)]
    counts = Counter(drawn)
    assert 400 < counts["429"] < 600
    assert 70 < counts["hang"] < 130
    assert drawn == [Luck(faults, 1).draw("/", number) for number in range(5000)]
    assert drawn != [Luck(faults, 2).draw("/", number) for number in range(5000)]


async def test_first_attempts_of_each_body_fail(starting: Starting) -> None:
    """`NAME@COUNT` faults befall a body one after the other, then it is answered."""
    running = await starting(SimOptions(faults=Faults.parse("500@2,429-none@1")))
    requests = [post("/v1/chat/completions", {**CHAT, "user": user}) for user in "ababaabb"]
    statuses = [seen.status for seen in await ask(running, *requests)]
    assert statuses == [500, 500, 500, 500, 429, 200, 429, 200]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 500, 502, 529, 599])
async def test_refusals_have_the_envelope(starting: Starting, status: int) -> None:
    """A status comes with OpenAI's error object."""
    seen = await ask_chat(await befallen(starting, str(status)))
    assert seen.status == status
    assert set(seen.json()["error"]) == {"message", "type", "param", "code"}


async def test_429_takes_every_form(starting: Starting) -> None:
    """Plain 429s go through all forms of Retry-After, mild ones through all but the endless."""
    plain = await befallen(starting, "429")
    requests = [post("/v1/chat/completions", {**CHAT, "n": 1, "seed": n}) for n in range(10)]
    shown = [throttle(seen) for seen in await ask(plain, *requests)]
    assert len(set(shown)) == len(RETRY_AFTER_FORMS) == 10
    mild = await befallen(starting, "429-mild")
    shown = [throttle(seen) for seen in await ask(mild, *requests)]
    assert not any("1000000000" in one for one in shown)


def throttle(seen: Seen) -> str:
    """The headers that ask for a pause."""
    assert seen.status == 429
    asking = [one for one in seen.headers if one[0].startswith(("retry-", "x-ratelimit-"))]
    return json.dumps(asking)


async def test_429_dates_lie_where_they_should(starting: Starting) -> None:
    """One date is soon to come, the other long past."""
    soon = await ask_chat(await befallen(starting, "429-date"))
    past = await ask_chat(await befallen(starting, "429-past"))
    first, second = (parsedate_to_datetime(one.header("retry-after") or "") for one in (soon, past))
    assert 3595 < (first - second).total_seconds() < 3615


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ("garbage", b"<!doctype html>"),
        ("empty", b""),
        ("array", b"["),
        ("error200", b'{"error":'),
    ],
)
async def test_odd_bodies_are_whole(starting: Starting, fault: str, body: bytes) -> None:
    """They come with status 200 and the right length."""
    seen = await ask_chat(await befallen(starting, fault))
    assert seen.status == 200
    assert seen.body.startswith(body)
    assert seen.header("content-length") == str(len(seen.body))


async def test_a_redirect_leads_elsewhere(starting: Starting) -> None:
    """Whoever follows it takes the key to another server."""
    running = await befallen(starting, "redirect")
    seen = await ask_chat(running)
    assert seen.status == 302
    assert str(running.port) not in (seen.header("location") or "")


async def test_a_cut_body_ends_early(starting: Starting) -> None:
    """Less comes than was announced, then the end of the connection."""
    seen = await ask_chat(await befallen(starting, "cut"))
    assert 0 < len(seen.body) < int(seen.header("content-length") or 0)


async def test_a_short_body_is_whole_http(starting: Starting) -> None:
    """The announced length comes, but it is too small for the JSON."""
    seen = await ask_chat(await befallen(starting, "short"))
    assert len(seen.body) == int(seen.header("content-length") or 0)
    with pytest.raises(json.JSONDecodeError):
        seen.json()


async def test_a_chunk_is_cut(starting: Starting) -> None:
    """A chunk is announced of which half comes."""
    seen = await ask_chat(await befallen(starting, "chunkcut"))
    size, _, chunk = seen.body.partition(b"\r\n")
    assert seen.header("transfer-encoding") == "chunked"
    assert 0 < len(chunk) < int(size, 16)


async def test_bad_http_is_no_http(starting: Starting) -> None:
    """What comes does not begin as an answer does."""
    running = await befallen(starting, "badhttp")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT))
    assert not (await reader.read()).startswith(b"HTTP/")
    writer.close()
    await writer.wait_closed()


async def test_a_reset_is_a_reset(starting: Starting) -> None:
    """Half of the answer comes, then RST."""
    running = await befallen(starting, "reset")
    with pytest.raises(ConnectionResetError):
        await ask_chat(running)


async def test_a_drip_has_begun(starting: Starting) -> None:
    """The answer comes byte by byte."""
    running = await befallen(starting, "drip")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT))
    assert [await reader.read(100), await reader.read(100)] == [b"H", b"T"]
    writer.close()
    await writer.wait_closed()


async def test_a_huge_body_is_huge(starting: Starting) -> None:
    """There is more than a client should keep, and the server waits while it is not read."""
    running = await befallen(starting, "huge")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT))
    seen = 0
    while seen < 40 << 20:
        seen += len(await reader.read(1 << 20))
    writer.transport.abort()


async def test_a_hang_lasts_until_the_client_leaves(starting: Starting) -> None:
    """It is logged at once, holds its connection, and others are answered meanwhile."""
    running = await starting(SimOptions(faults=Faults.parse("hang@1")))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT))
    while running.stats["answered"] != {"hang": 1}:
        await ask(running, get("/health"))
    assert (await ask_chat(running)).status == 200
    assert running.stats["connections"] >= 1
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""


async def test_faults_change_while_it_runs(starting: Starting) -> None:
    """New faults hold from the next request on; wrong ones are refused and change nothing."""
    running = await starting(SimOptions())
    chat = post("/v1/chat/completions", CHAT)
    seen = await ask(
        running,
        chat,
        post("/sim/faults", "503:1"),
        chat,
        post("/sim/faults", "odd:1"),
        chat,
        post("/sim/faults", ""),
        chat,
    )
    assert [one.status for one in seen] == [200, 200, 503, 400, 503, 200, 200]


async def test_a_connection_goes_on_after_a_short_body(starting: Starting) -> None:
    """The rest of the body follows, and then the next answer: a trap for who reads on."""
    running = await starting(SimOptions(faults=Faults.parse("short@1")))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(post("/v1/chat/completions", CHAT) * 2)
    first = await read(reader)
    rest = await reader.readuntil(b"HTTP/1.1 ")
    assert json.loads(first.body + rest.removesuffix(b"HTTP/1.1 "))["object"] == "chat.completion"
    writer.close()
    await writer.wait_closed()
