"""Processes for a test, ended after it; some are shared where nobody kills them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from openai import OpenAI

from tests.acceptance.processes import Server, Sim, until


class House(NamedTuple):
    """A server with its simulated upstream and a client."""

    sim: Sim
    server: Server
    client: OpenAI


@pytest.fixture(scope="session")
def _lent_sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    one = Sim(tmp_path_factory.mktemp("lent"))
    yield one
    one.close()


@pytest.fixture
def sim(_lent_sim: Sim) -> Iterator[Sim]:
    """A simulated upstream that nobody else asks anything meanwhile, nor has left waiting."""
    yield _lent_sim.calm()
    until(lambda: _lent_sim.in_flight() == 0)


@pytest.fixture(scope="session")
def _shared_sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    one = Sim(tmp_path_factory.mktemp("sim"))
    yield one
    one.close()


@pytest.fixture
def shared_sim(_shared_sim: Sim) -> Sim:
    """A simulated upstream that answers at once, until told otherwise."""
    return _shared_sim.calm()


@pytest.fixture(scope="session")
def _shared_server(
    tmp_path_factory: pytest.TempPathFactory, _shared_sim: Sim
) -> Iterator[tuple[Server, OpenAI]]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, [_shared_sim.url], cancel_grace_seconds=1.0)
    yield server, server.start()
    server.close()


@pytest.fixture
def house(_shared_server: tuple[Server, OpenAI], shared_sim: Sim) -> House:
    """A server that all tests share; whatever a test does, it must go on for the next."""
    server, client = _shared_server
    return House(shared_sim, server, client)


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
