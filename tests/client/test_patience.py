"""How often a campaign looks after its batches."""

from random import Random

from batchyard.client.campaigns.patience import Patience
from batchyard.client.campaigns.settings import Settings


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
