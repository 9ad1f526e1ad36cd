"""What a server knows of its own disk and store."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from batchyard.places.blobs import Blobs
from batchyard.places.database import Inline
from batchyard.places.folder import DataFolder
from batchyard.places.store import Store, Work, open_store
from batchyard.rules.readiness import Readiness, Trouble, UpstreamState, readiness
from batchyard.server.condition import Condition
from tests.server.door import Door


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
def store(folder: DataFolder) -> Iterator[Store]:
    with closing(open_store(folder.database_url)) as opened:
        with opened.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=1")
        yield opened


def troubles(folder: DataFolder, store: Store, least: int = 0) -> tuple[Condition, list[str]]:
    """A condition, and the codes of what it knows."""
    made = Condition(folder, store, Inline(), lambda: 7.0, free_bytes_min=least)
    return made, codes(made)


def codes(condition: Condition) -> list[str]:
    """The codes of what cannot be used."""
    return [one.code for one in asyncio.run(condition.troubles())]


def test_a_store_that_is_locked_is_told_until_it_is_not(folder: DataFolder, store: Store) -> None:
    """It is tried again whenever somebody asks, so that an idle server recovers too."""
    condition, found = troubles(folder, store)
    assert found == []
    with closing(sqlite3.connect(folder.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBAPIError):
            Work(store).sign_on("w", 1.0)
        for _ in range(2):
            (trouble,) = asyncio.run(condition.troubles())
            assert (trouble.code, trouble.since) == ("store_unavailable", 7)
            assert "is locked by another program" in trouble.message
        other.execute("ROLLBACK")
    assert codes(condition) == []


def test_a_disk_without_room_is_told(folder: DataFolder, store: Store) -> None:
    """Below the bound of the settings, and only while it is so."""
    condition, found = troubles(folder, store, 1 << 60)
    assert found == ["disk_low"]
    condition._free_bytes_min = 0
    assert codes(condition) == []


@pytest.mark.parametrize("gone", ["blobs", "database"])
def test_data_that_was_removed_is_told(folder: DataFolder, store: Store, gone: str) -> None:
    """Nothing is acknowledged then, and no folder made anew."""
    condition, found = troubles(folder, store)
    assert found == []
    if gone == "blobs":
        shutil.rmtree(folder.blobs)
        with pytest.raises(FileNotFoundError):
            Blobs(folder.blobs).create("inputs/x")
    else:
        folder.database.unlink()
        with pytest.raises(FileNotFoundError):
            Work(store).sign_on("w", 1.0)
    assert codes(condition)[-1] == "data_gone"


def test_readiness_is_told_to_those_who_ask(tmp_path: Path) -> None:
    """503 with each reason while something cannot be used; the server lives all the same."""
    door = Door(tmp_path)
    caller = door.caller()
    trouble = Trouble("disk_low", "The disk is full.", 7)

    async def full() -> Readiness:
        return readiness([trouble], 1, {"gpu": UpstreamState("ok")})

    assert caller.ask("GET", "/readyz").status == 200
    object.__setattr__(door.yard, "readiness", full)
    answer = caller.ask("GET", "/readyz")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json == {
        "status": "unavailable",
        "reasons": [{"code": "disk_low", "message": "The disk is full.", "since": 7}],
        "workers": 1,
        "upstreams": {"gpu": {"state": "ok"}},
    }
    assert caller.ask("GET", "/healthz").status == 200
    door.close()


def test_uploads_leave_the_reserve(folder: DataFolder) -> None:
    """The last of a disk is for answers and the database, whatever clients send."""
    writing = Blobs(folder.blobs, reserve_bytes=1 << 60).create("inputs/x")
    with pytest.raises(OSError, match="No space left"):
        writing.write(b"x")
    writing.abandon()
    assert list(Blobs(folder.blobs).names()) == []
    Blobs(folder.blobs, reserve_bytes=1 << 60).segment("results/b/x").close()
