"""Where a campaign's steps are written: a file of its folder, or the log at the folder's URL."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from batchyard.client.campaigns.sharing import Shared, url_of
from batchyard.places.commits import LateError, OwnedError
from batchyard.places.whole import sync_folder

__all__ = ["CampaignInUseError", "Journal", "beginning", "journal_in"]


class CampaignInUseError(Exception):
    """Another process goes on with this campaign."""


class Journal(Protocol):
    """Steps, one a line, of one writer at a time."""

    lines: list[bytes]

    def write(self, line: bytes, files: Iterable[str]) -> None:
        """Note a step; when this returns it is durable, and so are the files it speaks of."""

    def hold(self) -> None:
        """Raise CampaignInUseError where another has taken over."""

    def close(self) -> None:
        """Leave the folder to others."""


def journal_in(folder: Path, *, alone: bool) -> Journal:
    """The journal of a folder; with `alone`, the folder is taken until this process ends."""
    url = url_of(folder)
    return _File(folder, alone=alone) if url is None else _Log(folder, url, alone=alone)


class _File:
    """A file that is appended to and synced.

    A last line that a kill cut short was never promised to anybody, and is removed.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self._file: IO[bytes] | None = None
        self._lock = _taken(folder) if alone else None
        path = folder / "diary.jsonl"
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        self.lines = whole.splitlines()
        if alone:
            self._file = path.open("ab")
            if len(whole) < len(text):
                self._file.truncate(len(whole))
            self._sync()
            sync_folder(folder)

    def write(self, line: bytes, files: Iterable[str]) -> None:
        if self._file is None:
            raise RuntimeError("This diary was opened to be read.")
        self._file.write(line + b"\n")
        self._sync()

    def hold(self) -> None:
        """The lock holds as long as the process lives."""

    def close(self) -> None:
        for one in (self._file, self._lock):
            if one is not None:
                one.close()

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())


class _Log:
    """The log at a URL; the working folder is taken as well, so that it has one writer."""

    def __init__(self, folder: Path, url: str, *, alone: bool) -> None:
        self._lock = _taken(folder) if alone else None
        self._alone, self._shared = alone, Shared(folder, url)
        commits = self._shared.commits
        try:
            if alone:
                commits.take()
            else:
                commits.read_on()
        except BaseException as error:
            self._let_go()
            if isinstance(error, OwnedError):
                raise CampaignInUseError(f"{url}: {error}") from error
            raise
        self.lines = list(commits.steps)
        if alone:
            self._begin()

    def write(self, line: bytes, files: Iterable[str]) -> None:
        if not self._alone:
            raise RuntimeError("This diary was opened to be read.")
        with self._own():
            self._shared.write(line, files)

    def hold(self) -> None:
        with self._own():
            self._shared.commits.hold()

    def close(self) -> None:
        if self._alone:
            self._shared.commits.leave()
        self._let_go()

    def _begin(self) -> None:
        try:
            self._shared.commits.stay(self._shared.hear)
            self._shared.settle()
        except BaseException:
            self.close()
            raise

    def _let_go(self) -> None:
        self._shared.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def _own(self) -> Iterator[None]:
        try:
            yield
        except LateError as error:
            raise CampaignInUseError(f"{self._shared.url}: {error} has taken over") from error


def _taken(folder: Path) -> IO[bytes]:
    lock = (folder / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise CampaignInUseError(str(folder)) from error
    return lock


@contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """Nobody else begins or goes on with a campaign in the folder meanwhile; waits its turn."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
