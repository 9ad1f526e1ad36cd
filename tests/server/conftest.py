"""A door for all tests of a process, and a caller with a project of their own for each."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from batchyard.rules.limits import RELAXED, STRICT
from tests.server.door import Caller, Door


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    open_door = Door(tmp_path_factory.mktemp("door"))
    yield open_door
    open_door.close()


@pytest.fixture(scope="session")
def strict_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    open_door = Door(tmp_path_factory.mktemp("strict"), STRICT)
    yield open_door
    open_door.close()


@pytest.fixture
def caller(door: Door) -> Caller:
    return door.caller()


@pytest.fixture
def strict_caller(strict_door: Door) -> Caller:
    return strict_door.caller()


@pytest.fixture
def small_caller(tmp_path: Path) -> Iterator[Caller]:
    """A caller at a door that takes files of up to 100,000 bytes."""
    limits = msgspec.structs.replace(RELAXED, file_bytes_max=100_000)
    open_door = Door(tmp_path, limits)
    yield open_door.caller()
    open_door.close()
