"""Processes for a test, ended after it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Server, Sim


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    """A simulated upstream."""
    one = Sim(tmp_path)
    yield one
    one.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that end with the test."""
    made: list[Server] = []

    def make(upstreams: list[str], **settings: object) -> Server:
        made.append(Server(tmp_path, upstreams, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
