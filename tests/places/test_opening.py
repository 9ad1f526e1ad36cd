"""Transactions of an open database, one after the other and side by side."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from batchyard.places.store import Store, open_store
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
