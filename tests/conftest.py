"""What all tests have: homes of their own, and a stand-in where they want one."""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.client.stand_in import StandIn


@pytest.fixture(scope="session", autouse=True)
def _own_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Profiles, state and answers are in a folder of this run, also in processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.setitem(os.environ, name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture
def other() -> Iterator[StandIn]:
    """A stand-in for the Batch API of others, as OpenAI's is until a test gives it habits."""
    one = StandIn()
    yield one
    one.close()


def pytest_collection_finish() -> None:
    """Thousands of tests live until the end: the garbage collector need not look at them again."""
    gc.collect()
    gc.freeze()
