"""A new database, beside one that came through all migrations."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, inspect, select, text

from batchyard.places.store import open_store
from batchyard.places.store.founding import NEWEST, version_of
from batchyard.places.store.opening import Store, engine_of
from batchyard.places.store.schema import metadata
from batchyard.places.store.upgrade import upgrade


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """One that was opened new, one that was migrated from nothing."""
    urls = [f"sqlite:///{tmp_path / name}.sqlite" for name in ("founded", "migrated")]
    open_store(urls[0]).close()
    founded, migrated = (create_engine(url) for url in urls)
    with closing(Store(engine_of(urls[1]))) as store:
        upgrade(store)
    yield founded, migrated
    founded.dispose()
    migrated.dispose()


def shape(engine: Engine) -> dict[str, Any]:
    """All that a database says of its tables, in an order of its own."""
    seen = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: {key: str(value) for key, value in column.items()}
                for column in seen.get_columns(table)
            },
            "key": seen.get_pk_constraint(table),
            "foreign": sorted(map(str, seen.get_foreign_keys(table))),
            "unique": sorted(map(str, seen.get_unique_constraints(table))),
            "indexes": sorted(map(str, seen.get_indexes(table))),
        }
        for table in seen.get_table_names()
    }


def test_a_new_database_has_what_the_migrations_make(engines: tuple[Engine, Engine]) -> None:
    """The same tables, keys and indexes, and the same rows in them."""
    founded, migrated = engines
    assert shape(founded) == shape(migrated)
    assert set(metadata.tables) < set(shape(founded))
    for name in shape(founded):
        rows = []
        for engine in engines:
            tables = MetaData()
            tables.reflect(engine, only=[name])
            with engine.connect() as connection:
                found = connection.execute(select(tables.tables[name])).mappings()
                rows.append([dict(row) for row in found])
        assert rows[0] == rows[1], name


def test_an_old_database_goes_through_the_migrations(tmp_path: Path) -> None:
    """It has the newest tables then, and what stood in it still does."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    engine = create_engine(url)
    with closing(Store(engine_of(url))) as store:
        upgrade(store, "0001")
    with engine.begin() as connection:
        assert not inspect(connection).has_table("projects")
        connection.execute(
            text("INSERT INTO workers (id, alive_until) VALUES ('who was there', 1.0)")
        )
    open_store(url).close()
    with engine.connect() as connection:
        assert version_of(connection) == NEWEST
        assert connection.execute(text("SELECT id FROM workers")).scalars().all() == [
            "who was there"
        ]
    engine.dispose()


def test_many_that_open_at_once_found_it_once(tmp_path: Path) -> None:
    """Whoever comes second finds it made."""
    url = f"sqlite:///{tmp_path / 'one.sqlite'}"
    with ThreadPoolExecutor(8) as threads:
        for store in threads.map(lambda _: open_store(url), range(8)):
            store.close()
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM projects")).scalar() == 1
    engine.dispose()


# Upgrades copies of an old database, and kills itself before the nth statement, for all n.
KILLED = """
import os, shutil, signal, sys
from sqlalchemy import event
from batchyard.places.store.opening import Store, engine_of
from batchyard.places.store.upgrade import upgrade
folder = sys.argv[1]
number = 0
while True:
    number += 1
    copy = f"{folder}/{number}.sqlite"
    shutil.copy(f"{folder}/old.sqlite", copy)
    child = os.fork()
    if not child:
        engine, left = engine_of(f"sqlite:///{copy}"), [number]
        def count(*_):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(engine, "before_cursor_execute", count)
        event.listen(engine, "commit", count)
        upgrade(Store(engine))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number)
"""


def test_a_killed_upgrade_is_taken_up_again(tmp_path: Path) -> None:
    """Before whichever statement it is killed, nothing has changed, and the next one completes."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    with closing(Store(engine_of(url))) as store:
        upgrade(store, "0001")
    script = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    moments = int(done.stdout)
    assert moments > 40
    for number in range(1, moments):
        with closing(Store(engine_of(f"sqlite:///{tmp_path / str(number)}.sqlite"))) as store:
            with store.reading() as connection:
                assert version_of(connection) == "0001"
            # All are alike now; not all need to show it.
            if number % 8 == 1:
                upgrade(store)
                with store.reading() as connection:
                    assert version_of(connection) == NEWEST


def test_upgrades_at_once_wait_for_one_another(tmp_path: Path) -> None:
    """As of a server and of a verb beside it: the second finds all done."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    with closing(Store(engine_of(url))) as store:
        upgrade(store, "0001")
    with ThreadPoolExecutor(2) as threads:
        for opened in threads.map(lambda _: open_store(url), range(2)):
            with opened.reading() as connection:
                assert version_of(connection) == NEWEST
            opened.close()
