"""Files that go to a server, read from the disk while they are sent."""

from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest

from batchyard.client.apis.provider import Provider, ProviderError
from batchyard.client.campaigns.patience import Patience
from batchyard.client.campaigns.settings import Settings
from tests.places.upstream_server import Visit, answer, upstream

# More than a socket holds.
FILE = Random(0).randbytes(8_000_000)
MADE = answer(b'{"id": "f", "status": "Done"}')
SLOW_DOWN = answer(b'{"error": {"message": "slow"}}', b"retry-after: 7", status=b"429 Slow")
TOO_LARGE = answer(b"{}", status=b"413 Large")


class Waits(Patience):
    """Says how long it would wait."""

    def __init__(self, poll_seconds: float = 1.0) -> None:
        settings = Settings(base_url="http://h/v1", poll_seconds=poll_seconds)
        super().__init__(settings, Random(0))
        self.waited: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(FILE)
    return path


def content_of(request: bytes) -> bytes:
    return request.split(b"\r\n\r\n", 3)[3].rpartition(b"\r\n--")[0]


async def test_a_retried_upload_begins_with_the_file_again(tmp_path: Path) -> None:
    """All of it goes each time, by the same key, after the server's own pause where it asks."""
    came: list[bytes] = []

    async def door(visit: Visit) -> None:
        if visit.number == 1:
            await visit.request_head()
            visit.reset()
        else:
            came.append(await visit.request())
            await visit.say(SLOW_DOWN if visit.number == 2 else MADE)

    patience, path = Waits(), source(tmp_path)
    moved: list[tuple[int, int | None]] = []
    async with upstream(door) as server, aclosing(Provider(server.url, "secret")) as provider:
        found = await patience.bear(
            lambda: provider.uploaded(path, "k-1", "x.jsonl", lambda *now: moved.append(now))
        )
    assert found == ("f", "done")
    assert [content_of(one) == FILE for one in came] == [True, True]
    assert all(b"idempotency-key: k-1" in one and b'filename="x.jsonl"' in one for one in came)
    assert moved[-1] == (len(FILE), len(FILE))
    assert patience.waited[1] * 0.8 >= 7


async def test_an_answer_that_comes_early_is_the_answer(tmp_path: Path) -> None:
    """A server that has heard enough says so, and the rest of the file is not sent."""

    async def door(visit: Visit) -> None:
        await visit.request_head()
        await visit.say(TOO_LARGE)
        await visit.hung_up()

    async with upstream(door) as server, aclosing(Provider(server.url, None)) as provider:
        with pytest.raises(ProviderError) as error:
            await provider.upload(source(tmp_path), "k")
    assert error.value.status == 413
    assert not error.value.transient


async def test_a_file_that_shrinks_meanwhile_is_not_sent_as_whole(tmp_path: Path) -> None:
    """The server hears less than was announced, and whoever sends hears why."""
    path = source(tmp_path)

    async def door(visit: Visit) -> None:
        await visit.request_head()
        path.write_bytes(b"")
        await visit.hung_up()

    async with upstream(door) as server, aclosing(Provider(server.url, None)) as provider:
        with pytest.raises(OSError, match="cut short"):
            await provider.upload(path, "k")
