"""A place for stories: a real store and real folders, in memory where the machine has room."""

import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batchyard.places.store import Store, open_store

# Processes die in stories, machines do not: whether a disk keeps what was synced is not asked,
# and waiting for it would take longer than all else.
_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    swift = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="stories-", dir=swift) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def _told(place: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{place / 'store.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def store(_told: Store) -> Store:
    """Made once and emptied as each world begins."""
    return _told


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever is killed in a story closes nothing: its files are no fault of the test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"))


@pytest.fixture(autouse=True)
def _the_dead_are_buried() -> Iterator[None]:
    """Collect what a story leaves behind, or another test would be told of its open files."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
