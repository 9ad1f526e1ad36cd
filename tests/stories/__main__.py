"""Tell stories by hand: `python -m tests.stories --seed N`, or `--from A --to B`."""

import argparse
import logging
import sys
import tempfile
import traceback
from pathlib import Path

from batchyard.places.store import open_store
from tests.stories.loop import run_virtually
from tests.stories.story import tell


def main() -> None:
    """Tell the stories that were asked for, and say which promise each one broke."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="last", type=int, default=100)
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.last)
    if asked.seed is None:
        logging.disable()
    with tempfile.TemporaryDirectory() as place:
        store = open_store(f"sqlite:///{place}/stories.sqlite")
        for seed in seeds:
            try:
                run_virtually(tell(seed, store, Path(place) / "blobs"))
            except Exception:  # noqa: BLE001
                sys.stdout.write(f"seed {seed}\n")
                traceback.print_exc(limit=-3 if asked.seed is None else None)
        store.close()


if __name__ == "__main__":
    main()
