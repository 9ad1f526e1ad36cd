"""Files that come from a server which cuts, forgets and changes them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from batchyard.client.apis.downloading import download, download_once
from batchyard.client.apis.profiles import Destination
from batchyard.client.apis.provider import Provider, ProviderError
from batchyard.client.apis.remote import Remote
from tests.places.upstream_server import Visit, upstream

FILE = Random(0).randbytes(1_000_000)
OTHER = Random(1).randbytes(1_000_000)


class Door:
    """One file, and what goes wrong with it; `asked` is where each call began."""

    def __init__(self) -> None:
        self.content, self.etag = FILE, "one"
        # After how many bytes the next answers break off.
        self.cuts: list[int] = []
        self.has_ranges = self.tells_size = True
        self.frames = True
        self.bytes_told: int | None = None
        self.moves_ranges = False
        self.asked: list[int] = []

    async def play(self, visit: Visit) -> None:
        head = await visit.request()
        if b"/content" not in head.split(b"\r\n", 1)[0]:
            told = b'{"id": "f", "bytes": %d}' % (self.bytes_told or 0)
            await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told) + told)
            return
        found = re.search(rb"range: bytes=([0-9]+)-", head)
        start = int(found[1]) if found and self.has_ranges else 0
        self.asked.append(int(found[1]) if found else 0)
        if start > len(self.content):
            await visit.say(b"HTTP/1.1 416 No\r\ncontent-length: 0\r\n\r\n")
            return
        body = self.content[start:]
        lines = [b"HTTP/1.1 206 Partial" if start else b"HTTP/1.1 200 OK"]
        lines += [b'etag: "%b"' % self.etag.encode()] if self.etag else []
        if start:
            said = start + 1 if self.moves_ranges else start
            size = len(self.content)
            lines.append(b"content-range: bytes %d-%d/%d" % (said, size - 1, size))
        if self.tells_size:
            lines.append(b"content-length: %d" % len(body))
        elif self.frames:
            lines.append(b"transfer-encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        cut = self.cuts.pop(0) if self.cuts else len(body)
        await visit.say(b"\r\n".join(lines) + b"\r\n\r\n", body[:cut])


@asynccontextmanager
async def at(door: Door) -> AsyncIterator[Provider]:
    async with upstream(door.play) as server:
        provider = Provider(server.url, "key", timeout_seconds=20)
        try:
            yield provider
        finally:
            await provider.aclose()


async def cut_once(provider: Provider, out: Path) -> ProviderError:
    """A try that breaks off and leaves a part."""
    with pytest.raises(ProviderError) as error:
        await download_once(provider, "f", out)
    assert error.value.transient
    assert there(out.parent) == [".out"]
    return error.value


def there(folder: Path) -> list[str]:
    return [path.name[:4] for path in folder.iterdir()]


async def test_what_was_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    """The next try asks for the rest and a little more; nothing is left beside the file."""
    door, out = Door(), tmp_path / "out"
    door.cuts = [600_000, 100_000]
    async with at(door) as provider:
        assert (await cut_once(provider, out)).got_on
        assert (await cut_once(provider, out)).got_on
        begun, size = await download_once(provider, "f", out)
    assert out.read_bytes() == FILE
    assert (begun, size) == (door.asked[2] + 65_536, len(FILE))
    assert 0 == door.asked[0] < door.asked[1] < door.asked[2]
    assert there(tmp_path) == ["out"]


async def test_a_server_without_ranges_begins_again(tmp_path: Path) -> None:
    """It sends all of it with 200, and no byte is there twice."""
    door, out = Door(), tmp_path / "out"
    door.cuts, door.has_ranges = [600_000, 500_000], False
    async with at(door) as provider:
        assert (await cut_once(provider, out)).got_on
        assert not (await cut_once(provider, out)).got_on
        await download_once(provider, "f", out)
    assert out.read_bytes() == FILE


@pytest.mark.parametrize("etag", ["two", "one", ""])
async def test_a_file_that_changed_is_not_glued_to_its_old_beginning(
    etag: str, tmp_path: Path
) -> None:
    """Whether its tag says so, or only its bytes do."""
    door, out = Door(), tmp_path / "out"
    door.cuts, door.etag = [600_000], etag.replace("two", "one")
    async with at(door) as provider:
        await cut_once(provider, out)
        door.content, door.etag = OTHER, etag
        await download_once(provider, "f", out)
    assert out.read_bytes() == OTHER
    assert door.asked[-1] == 0
    assert there(tmp_path) == ["out"]


async def test_a_file_that_became_shorter_is_fetched_anew(tmp_path: Path) -> None:
    """The server says that there is no such range."""
    door, out = Door(), tmp_path / "out"
    door.cuts = [600_000]
    async with at(door) as provider:
        await cut_once(provider, out)
        door.content = OTHER[:1_000]
        await download_once(provider, "f", out)
    assert out.read_bytes() == OTHER[:1_000]


async def test_a_range_that_nobody_asked_for_is_not_taken(tmp_path: Path) -> None:
    """What cannot be placed is fetched from the start."""
    door, out = Door(), tmp_path / "out"
    door.cuts, door.moves_ranges = [600_000], True
    async with at(door) as provider:
        await cut_once(provider, out)
        await download_once(provider, "f", out)
    assert out.read_bytes() == FILE
    assert door.asked[-1] == 0


async def test_another_file_does_not_go_on_with_this_one(tmp_path: Path) -> None:
    """What is there of a file with another id is removed."""
    door, out = Door(), tmp_path / "out"
    door.cuts = [600_000]
    async with at(door) as provider:
        await cut_once(provider, out)
        door.content = OTHER
        assert (await download_once(provider, "g", out))[0] == 0
    assert out.read_bytes() == OTHER
    assert there(tmp_path) == ["out"]


async def test_an_answer_without_a_size_is_held_against_the_file_object(tmp_path: Path) -> None:
    """A cut answer that ends with its connection is no file."""
    door, out = Door(), tmp_path / "out"
    door.cuts, door.bytes_told = [600_000, 600_000], len(FILE)
    door.tells_size = door.frames = False
    async with at(door) as provider:
        with pytest.raises(ProviderError):
            await download_once(provider, "f", out)
        assert there(tmp_path) == []
        await download_once(provider, "f", out)
    assert out.read_bytes() == FILE


async def test_a_wrong_figure_of_a_server_stops_nobody(tmp_path: Path) -> None:
    """Where two answers that came to their end say the same, it is the figure that is wrong."""
    door, out = Door(), tmp_path / "out"
    door.tells_size, door.bytes_told = False, 17
    async with at(door) as provider:
        await download_once(provider, "f", out)
    assert out.read_bytes() == FILE
    assert len(door.asked) == 2


async def test_a_verb_goes_on_by_itself(tmp_path: Path) -> None:
    """As often as it gets on."""
    door, out = Door(), tmp_path / "out"
    door.cuts = [200_000] * 4
    heard: list[tuple[int, int | None]] = []
    async with at(door) as provider:
        found = {"id": "f", "bytes": len(FILE)}
        await download(provider, found, out, lambda done, total: heard.append((done, total)))
    assert out.read_bytes() == FILE
    assert heard[-1] == (len(FILE), len(FILE))


async def test_what_is_read_without_a_file_goes_on_too() -> None:
    """With ranges and without, each byte comes once."""
    for has_ranges in (True, False):
        door = Door()
        door.cuts, door.has_ranges = [300_000, 400_000], has_ranges
        async with upstream(door.play) as server:
            remote = Remote(Destination(name="d", base_url=server.url), timeout_seconds=20)
            came = b"".join([piece async for piece in remote.pieces("f")])
            await remote.aclose()
        assert came == FILE
        assert len(door.asked) == 3
