"""How often a campaign looks after its batches."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

import pytest

from batchyard.client.apis.provider import Provider, ProviderError, Trouble
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.patience import Patience
from batchyard.client.campaigns.settings import Settings
from tests.acceptance.processes import request_lines
from tests.client.stand_in import Habits, StandIn
from tests.places.upstream_server import answer, saying, upstream


class Told(Patience):
    """Says how long it would wait."""

    def __init__(self, poll_seconds: float) -> None:
        super().__init__(Settings(base_url="http://h/v1", poll_seconds=poll_seconds), Random(0))
        self.waits: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


async def test_ones_own_server_is_looked_at_soon() -> None:
    """A batch of seconds is not waited for longer; one of hours is not asked after all the time."""
    patience = Told(10)
    for looked in range(1, 5_000):
        await patience.look_again(looked)
    assert patience.waits[0] < 1
    assert patience.waits == sorted(patience.waits)
    assert patience.waits[-1] == 10


async def test_hosted_servers_are_spared() -> None:
    """As OpenAI asks: once a minute."""
    patience = Told(60)
    await patience.look_again(1)
    assert patience.waits == [60]


ASKED = {
    "seconds": (b"429 Slow", b"retry-after: 90", 90.0),
    "milliseconds": (b"429 Slow", b"retry-after-ms: 90000", 90.0),
    "a date": (b"503 Busy", b"retry-after: IN AN HOUR", 600.0),
    "for too long": (b"503 Busy", b"retry-after: 86400", 600.0),
}


@pytest.mark.parametrize("how", list(ASKED))
async def test_who_asks_for_a_pause_gets_it(how: str) -> None:
    """However it is said, on calls and on files alike, and within reason."""
    status, header, least = ASKED[how]
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    header = header.replace(b"IN AN HOUR", later.encode())
    patience = Told(1)
    async with (
        upstream(saying(answer(b"{}", header, status=status))) as server,
        aclosing(Provider(server.url, "key")) as provider,
    ):

        async def read() -> None:
            async with provider.content("f"):
                pass

        for call in (lambda: provider.retrieve("b"), read):
            with pytest.raises(ProviderError):
                await patience.bear(call)
    assert all(least <= 0.8 * one <= 600 for one in patience.waits)
    assert len(patience.waits) == 2 * (Settings(base_url="").faults_max - 1)


async def test_a_short_pause_is_no_reason_to_knock_all_the_time() -> None:
    """Whoever asks for a moment again and again is given more than that."""
    patience = Told(10)
    error = ProviderError(429, Trouble("", "slow"), sent=True, pause_seconds=0.0)
    for number in range(1, 9):
        await patience.back_off(number, error)
    assert patience.waits[:3] == [0, 2, 4]
    assert patience.waits[-1] == 120


def test_a_campaign_comes_back_when_it_is_told_to(tmp_path: Path) -> None:
    """By itself it would wait for minutes before each call that was refused once."""
    source, other = tmp_path / "in.jsonl", StandIn(Habits(throttles=True))
    source.write_bytes(request_lines(3))
    try:
        settings = Settings(base_url=other.url, poll_seconds=1_200, settle_seconds=0)
        Campaign.prepare(tmp_path / "c", source, settings, "key").run(until="submitted")
    finally:
        other.close()
    assert [len(one["lines"]) for one in other.batches] == [3]
