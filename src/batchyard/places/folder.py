"""The data folder: one server at a time, readable by its owner alone."""

import fcntl
import os
from pathlib import Path
from typing import IO

__all__ = ["DataFolder", "FolderInUseError"]


class FolderInUseError(Exception):
    """Another server has this data folder."""


class DataFolder:
    """The places in a data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database_url = f"sqlite:///{self.path / 'batchyard.sqlite'}"
        self.blobs = self.path / "blobs"
        self.bell = self.path / "bell"
        self._lock: IO[bytes] | None = None

    @property
    def exists(self) -> bool:
        """Whether a server has been here."""
        return (self.path / "batchyard.sqlite").exists()

    def make(self) -> None:
        """Make the folder where it is not there."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.blobs.mkdir(exist_ok=True)

    def lock(self) -> None:
        """Take the folder for this process until it ends; raises FolderInUseError."""
        self._lock = (self.path / "lock").open("ab")
        # A lock that children inherited would outlive a killed server.
        os.set_inheritable(self._lock.fileno(), False)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(str(self.path)) from error
