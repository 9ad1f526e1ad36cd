"""Two thousand lives of batches, each from a seed; `make soak SEEDS=...` tells more."""

import os
from pathlib import Path

import pytest

from batchyard.places.store import Store
from tests.stories.loop import run_virtually
from tests.stories.story import tell

# Workers that are killed close no files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHUNK = 50


def told(seeds: range, store: Store, folder: Path) -> None:
    """Tell stories, and say how to replay the first that breaks a promise."""
    for seed in seeds:
        try:
            run_virtually(tell(seed, store, folder))
        except BaseException as broken:
            broken.add_note(f"replay: .venv/bin/python -m tests.stories --seed {seed}")
            raise


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, 2_000, CHUNK))
def test_no_promise_is_broken(first: int, store: Store, place: Path) -> None:
    """Whatever befalls workers, disks and upstreams: each line once, counts exact, all ends."""
    told(range(first, first + CHUNK), store, place / "blobs")


@pytest.mark.soak
@pytest.mark.timeout(36_000)
def test_no_promise_is_broken_in_the_long_run(store: Store, place: Path) -> None:
    """The same, for as many seeds as asked for."""
    told(range(2_000, 2_000 + int(os.environ.get("SEEDS", "100"))), store, place / "blobs")
