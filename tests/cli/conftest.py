"""A server that all tests of verbs share, and a user of the command with a folder of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Server, Sim, batch_of, ended

__all__ = ["Home"]


class Home:
    """A server with its simulated upstream, and batches that have ended there."""

    def __init__(self, folder: Path) -> None:
        self.sim = Sim(folder)
        self.server = Server(folder, [self.sim.url], cancel_grace_seconds=0.2)
        self.openai = self.server.start()

    def ended(self, lines: bytes) -> str:
        """The id of a batch of these lines that has ended."""
        return ended(self.openai, batch_of(self.openai, lines)).id

    def close(self) -> None:
        self.server.close()
        self.sim.close()


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    one = Home(tmp_path_factory.mktemp("home"))
    yield one
    one.close()


@pytest.fixture
def home(_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A user in an empty folder, whose environment names the server."""
    _home.sim.calm()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OPENAI_BASE_URL", _home.server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    return _home
