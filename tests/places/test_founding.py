"""A new database, beside one that came through all migrations."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, inspect, select, text

from batchyard.places.store import open_store
from batchyard.places.store.founding import NEWEST, version_of
from batchyard.places.store.schema import metadata
from batchyard.places.store.upgrade import upgrade


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """One that was opened new, one that was migrated from nothing."""
    urls = [f"sqlite:///{tmp_path / name}.sqlite" for name in ("founded", "migrated")]
    open_store(urls[0]).close()
    founded, migrated = (create_engine(url) for url in urls)
    upgrade(migrated)
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
    upgrade(engine, "0001")
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
