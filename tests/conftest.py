"""No test sees or changes what the developer has set up for themselves."""

import gc
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Profiles, state and answers are in a folder of this run, also in processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.setitem(os.environ, name, str(tmp_path_factory.mktemp(name.lower())))
        yield


def pytest_collection_finish() -> None:
    """Thousands of tests live until the end: the garbage collector need not look at them again."""
    gc.collect()
    gc.freeze()
