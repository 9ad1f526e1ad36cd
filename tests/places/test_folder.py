"""A data folder is its owner's alone, whoever made it and whatever was first."""

import os
import stat
from pathlib import Path

from batchyard.places.folder import DataFolder
from batchyard.places.store import open_store


def test_a_folder_is_shut_to_others(tmp_path: Path) -> None:
    """One that was there with rights for all too, with all that is in it and comes later."""
    before = os.umask(0o022)
    try:
        folder = DataFolder(tmp_path / "data")
        (folder.path / "blobs").mkdir(parents=True)
        folder.database.touch()
        folder.make()
        open_store(folder.database_url).close()
        (folder.blobs / "later").touch()
    finally:
        os.umask(before)
    for path in (folder.path, *folder.path.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
