"""What is remembered of batches for a moment, and who looks when it is not."""

import asyncio
from collections.abc import Sequence

from batchyard.server.wardrobe import Wardrobe
from batchyard.wire.objects import Batch, Extras


def batch(id: str) -> Batch:
    """A batch of this id."""
    return Batch(
        id=id,
        endpoint="/v1/embeddings",
        input_file_id="file-1",
        completion_window="24h",
        status="in_progress",
        created_at=1,
    )


class Looks:
    """Looks for extras when it is let; counts how often."""

    def __init__(self) -> None:
        self.wardrobe = Wardrobe()
        self.now = 0.0
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()

    async def look(self, missing: Sequence[Batch]) -> dict[str, Extras]:
        """What a server would find."""
        self.asked.append([one.id for one in missing])
        number = len(self.asked)
        await self.may_answer.wait()
        return {one.id: Extras(lines_per_second=float(number)) for one in missing}

    async def worn(self, *ids: str) -> dict[str, float | None]:
        """Which look each batch's extras are from."""
        found = await self.wardrobe.worn([batch(id) for id in ids], self.look, lambda: self.now)
        return {id: extras.lines_per_second for id, extras in found.items()}


async def test_one_looks_for_all_who_ask_meanwhile() -> None:
    """Also if the first hangs up; what was found is believed for half a second from then."""
    looks = Looks()
    first = asyncio.create_task(looks.worn("a"))
    others = [asyncio.create_task(looks.worn("a", "b")) for _ in range(100)]
    await asyncio.sleep(0)
    first.cancel()
    looks.now = 7.0
    looks.may_answer.set()
    assert await asyncio.gather(*others) == [{"a": 1.0, "b": 2.0}] * 100
    assert looks.asked == [["a"], ["b"]]
    looks.now = 7.4
    assert await looks.worn("a", "b") == {"a": 1.0, "b": 2.0}
    looks.now = 7.6
    assert await looks.worn("a", "b") == {"a": 3.0, "b": 3.0}


async def test_a_change_is_seen_by_who_asks_after_it() -> None:
    """A look that began before it is for those who asked before it."""
    looks = Looks()
    before = asyncio.create_task(looks.worn("a"))
    await asyncio.sleep(0)
    looks.wardrobe.forget("a")
    after = asyncio.create_task(looks.worn("a"))
    await asyncio.sleep(0)
    looks.may_answer.set()
    assert (await before, await after) == ({"a": 1.0}, {"a": 2.0})
    assert await looks.worn("a") == {"a": 2.0}
