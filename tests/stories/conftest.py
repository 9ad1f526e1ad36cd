"""A place for stories: a real store and real folders, in memory where the machine has room."""

import os
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
