"""A server that all tests of the toolkit share, in strict, before a simulated upstream."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import Server, Sim


class Strict:
    """Our server in strict, with its simulated upstream."""

    def __init__(self, folder: Path) -> None:
        self.sim = Sim(folder)
        self.server = Server(folder, [self.sim.url], profile="strict")
        self.openai = self.server.start()

    def close(self) -> None:
        self.server.close()
        self.sim.close()


@pytest.fixture(scope="session")
def _strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    one = Strict(tmp_path_factory.mktemp("strict"))
    yield one
    one.close()


@pytest.fixture
def strict(_strict: Strict) -> Strict:
    """A server that all tests share; its upstream answers at once."""
    _strict.sim.calm()
    return _strict


@pytest.fixture
def asked(
    strict: Strict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """What the calls of a test have in common; they have a cache and a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))

    def common(**more: Any) -> dict[str, Any]:
        settings = {"poll_seconds": 0.05, "settle_seconds": 0.01}
        return {"to": strict.server.url, "key": "key", "settings": settings, **more}

    return common
