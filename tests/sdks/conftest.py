"""A server with its simulated upstream, and a second one that lets a key ask once a minute."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance.processes import Server, Sim, command


class Doors(NamedTuple):
    """Where a client may knock, and with which keys."""

    url: str
    key: str
    limited_key: str
    slow_url: str


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Servers that all clients share; the model `thinker` takes a minute for an answer."""
    sim = Sim(tmp_path_factory.mktemp("sim"))
    idle = Sim(tmp_path_factory.mktemp("idle"), "--latency", "fixed:60", models="thinker")
    server = Server(
        tmp_path_factory.mktemp("yard"),
        [sim.url, idle.url],
        webhook_hosts=["127.0.0.1"],
        cancel_grace_seconds=0.1,
    )
    slow = Server(tmp_path_factory.mktemp("slow"), [sim.url], requests_per_minute=1)
    server.start()
    slow.start()
    yield Doors(server.url, "key", limited_key(server.data), slow.url)
    for one in (server, slow, sim, idle):
        one.close()


def limited_key(data: Path) -> str:
    """A key that reads files and nothing else."""
    words = ("keys", "create", "reader", "--scopes", "api.files.read", "--data", str(data))
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=True
    ).stdout.strip()
