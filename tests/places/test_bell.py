"""The bell in the data folder."""

import asyncio
from pathlib import Path

import pytest

from batchyard.places.bell import heed, ring_at


async def test_who_rings_is_heard(tmp_path: Path) -> None:
    """As often as somebody rings, once for several at the same time at the least."""
    path, heard = tmp_path / "bell", asyncio.Event()
    listening = asyncio.create_task(heed(path, heard.set))
    await asyncio.sleep(0)
    for _ in range(2):
        assert ring_at(path)
        await asyncio.wait_for(heard.wait(), 10)
        heard.clear()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert not ring_at(path)


def test_nobody_listens(tmp_path: Path) -> None:
    """Whoever rings is told, also where a server left its bell behind or never was."""
    assert not ring_at(tmp_path / "bell")
    (tmp_path / "bell").touch()
    assert not ring_at(tmp_path / "bell")


async def test_what_is_no_bell_makes_place_for_one(tmp_path: Path) -> None:
    """A file in its place, restored from a backup, is replaced; a folder that is gone is no end."""
    path, heard = tmp_path / "bell", asyncio.Event()
    path.touch()
    listening = asyncio.create_task(heed(path, heard.set))
    nowhere = asyncio.create_task(heed(tmp_path / "none" / "bell", heard.set))
    await asyncio.sleep(0)
    assert ring_at(path)
    await asyncio.wait_for(heard.wait(), 10)
    assert not nowhere.done()
    for one in (listening, nowhere):
        one.cancel()
    await asyncio.gather(listening, nowhere, return_exceptions=True)
