"""Sweeps over a real store and a real folder, of which parts fail."""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.database import Inline
from batchyard.places.folder import DataFolder
from batchyard.places.store import Records, open_store
from batchyard.server.installation import Installation
from batchyard.server.upkeep import Upkeep
from tests.server.test_installation import store_file

P = ParamSpec("P")
T = TypeVar("T")
DAY = 86_400


class Counted(Inline):
    """A runner that tells how many calls it ran."""

    calls = 0

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls += 1
        return call(*args, **kwargs)


class Place:
    """A data folder, and an upkeep whose clock a test turns."""

    def __init__(self, path: Path) -> None:
        self.folder = DataFolder(path)
        self.folder.make()
        self.store = open_store(self.folder.database_url)
        self.records, self.blobs = Records(self.store), Blobs(self.folder.blobs)
        self.installation = Installation(self.folder, self.store)
        self.installation.settle(random.Random(1))
        self.now, self.runner = 0.0, Counted()
        clock = Clock(wall=lambda: self.now, steady=lambda: self.now)
        self.upkeep = Upkeep(
            self.records, self.blobs, self.runner, clock, installation=self.installation
        )

    def delete(self, *names: str) -> None:
        """Store files and delete them, for the next sweep to find."""
        for name in names:
            store_file(self.records, self.blobs, name)
            assert self.records.delete_file("p", name, 2)

    def leave(self, name: str) -> Path:
        """A blob that no row names, of the beginning of time."""
        path = self.folder.blobs / "results" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"y")
        os.utime(path, (0, 0))
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "data")


def test_what_cannot_be_deleted_stops_nothing_else(place: Place) -> None:
    """A blob that stays is tried again after a while, and its file is forgotten only then."""
    place.delete("a", "b", "c")
    (place.folder.blobs / "inputs" / "b").unlink()
    stuck = place.folder.blobs / "inputs" / "b" / "c"
    stuck.mkdir(parents=True)
    place.now = 3.0
    assert asyncio.run(place.upkeep.sweep())
    assert [file.id for file in place.records.discarded(3)] == ["b"]
    assert not (place.folder.blobs / "inputs" / "a").exists()
    stuck.rmdir()
    stuck.parent.rmdir()
    assert asyncio.run(place.upkeep.sweep())
    assert [file.id for file in place.records.discarded(3)] == ["b"]
    place.now = 64.0
    assert asyncio.run(place.upkeep.sweep())
    assert place.records.discarded(64) == []


def test_many_files_go_in_turns(place: Place) -> None:
    """Whoever wants to write does not wait for all of them, but for a hundred."""
    place.delete(*(f"f{number}" for number in range(250)))
    asyncio.run(place.upkeep.sweep_files())
    assert place.records.discarded(3) == []
    # Three times it was asked, deleted and forgotten; the last look found nothing.
    assert place.runner.calls == 3 * 3 + 1 + 1


def test_one_sweep_that_fails_leaves_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is tried all the same, and whoever sweeps is told that not all was done."""
    place.delete("a")

    def fail(_now: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(place.records, "expire_uploads", fail)
    promised: list[int] = []
    monkeypatch.setattr(place.records, "forget_promises", promised.append)
    assert not asyncio.run(place.upkeep.sweep())
    assert promised
    assert place.records.discarded(3) == []


def test_what_no_row_names_lies_in_the_trash_for_a_day(place: Place) -> None:
    """Not before it is an hour old, and not while its worker lives."""
    left = place.leave("w1-1.jsonl")
    place.now = 3_599.0
    assert asyncio.run(place.upkeep.sweep())
    assert left.exists()
    place.now = 2 * 3_600.0
    assert asyncio.run(place.upkeep.sweep())
    assert not left.exists()
    trash = place.folder.blobs / "trash" / "7200" / "results" / "w1-1.jsonl"
    assert trash.read_bytes() == b"y"
    place.now += DAY
    assert asyncio.run(place.upkeep.sweep())
    assert trash.exists()
    place.now += 3_600
    assert asyncio.run(place.upkeep.sweep())
    assert not trash.exists()


def test_what_gets_a_name_in_the_very_moment_is_taken_out_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that comes between the look and the move loses nothing."""
    left, other = place.leave("late"), place.leave("other")
    real, looks = place.records.named_blobs, iter((set[str](), {"results/late"}))
    monkeypatch.setattr(place.records, "named_blobs", lambda: real() | next(looks))
    place.now = 2 * 3_600.0
    assert asyncio.run(place.upkeep.sweep())
    assert (left.exists(), other.exists()) == (True, False)


def test_nothing_unnamed_goes_while_the_marks_differ(place: Place) -> None:
    """A database that was exchanged while the server ran says nothing about the blobs."""
    left = place.leave("x")
    place.folder.set_marks(("another", 1))
    place.now = 2 * 3_600.0
    asyncio.run(place.upkeep.sweep_unnamed())
    assert left.exists()
