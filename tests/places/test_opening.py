"""Transactions of an open database, one after the other and side by side."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from batchyard.places.store import Store, StoreUnusableError, in_words, open_store
from batchyard.places.store.schema import workers


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as opened:
        yield opened


def sign_on(store: Store, name: str) -> None:
    with store.writing() as connection:
        connection.execute(insert(workers).values(id=name, alive_until=1.0))


def living(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.execute(select(workers.c.id).order_by(workers.c.id)).scalars())


def test_what_fails_is_undone_and_the_next_goes_on(store: Store) -> None:
    """Whatever breaks off a transaction, nothing of it stays, and the store can be used."""

    def break_off(fault: BaseException) -> None:
        with store.writing() as connection:
            connection.execute(insert(workers).values(id="never", alive_until=1.0))
            raise fault

    for number, fault in enumerate((ValueError(), KeyboardInterrupt())):
        with pytest.raises(type(fault)):
            break_off(fault)
        sign_on(store, f"w{number}")
    assert living(store) == ["w0", "w1"]


def test_readers_go_on_while_one_writes(store: Store) -> None:
    """They see what there was; the writer's rows come with its end."""
    sign_on(store, "w0")
    with store.writing() as connection:
        connection.execute(insert(workers).values(id="w1", alive_until=1.0))
        assert living(store) == ["w0"]
    assert living(store) == ["w0", "w1"]


def test_a_writer_that_waits_in_vain_says_so_as_a_fault(store: Store, url: str) -> None:
    """It takes its turn at its beginning, and one that does not come is a fault to live with."""
    with closing(open_store(url)) as other:
        with other.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=1")
        with store.writing(), pytest.raises(DBAPIError), other.writing():
            raise AssertionError("two write at once")
        sign_on(other, "w0")
    assert living(store) == ["w0"]


def spoil(path: Path) -> None:
    """What stands there is no database."""
    path.write_bytes(b"nonsense" * 1_000)


def age(path: Path) -> None:
    """It comes from the future."""
    open_store(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")


def shut(path: Path) -> None:
    """A folder is in its place."""
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (spoil, "is no database, or is damaged. Put back a copy"),
        (age, "was written by a newer Batchyard"),
        (shut, "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_on_a_line(
    harm: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    """What is wrong with it, and what to do."""
    harm(tmp_path / "store.sqlite")
    with pytest.raises(StoreUnusableError, match=said) as refused:
        open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    assert "\n" not in str(refused.value)


def test_who_locks_the_database_is_waited_for_once(store: Store, url: str, tmp_path: Path) -> None:
    """Those after the first are refused at once, readers go on, and all goes on afterwards."""
    sign_on(store, "w0")
    with store.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=51")
    with closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            with pytest.raises(DBAPIError) as refused:
                sign_on(store, f"late{number}")
            assert "locked" in in_words(refused.value, url)
            # The first had waited as long as it may; its like wait for a moment from now on.
            assert store._locked
            assert living(store) == ["w0"]
        other.execute("ROLLBACK")
    sign_on(store, "w1")
    assert not store._locked
    assert living(store) == ["w0", "w1"]


def test_a_database_that_was_exchanged_is_not_written(store: Store, tmp_path: Path) -> None:
    """Nothing is acknowledged that would be gone with the file that was removed."""
    path = tmp_path / "store.sqlite"
    told: list[Exception | None] = []
    sign_on(store, "w0")
    store.told = told.append
    path.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match="removed while it was in use"):
        sign_on(store, "w1")
    path.write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="taken the place"):
        sign_on(store, "w2")
    assert [type(fault) for fault in told] == [FileNotFoundError] * 2
    (tmp_path / "away").rename(path)
    sign_on(store, "w3")
    assert living(store) == ["w0", "w3"]
    assert told[2:] == [None]
