"""A lock for each worker process, so that others can see whether it lives, and end it.

A worker holds a lock on a file of its own in the data folder from its first moment to its last;
the kernel lets it go with the process. The file says which process it is.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = ["Holder", "WorkerLocks", "WorkerStaysError"]

_PAUSE_SECONDS, _KILLED_SECONDS = 0.02, 5.0


class WorkerStaysError(Exception):
    """A worker of a server that is gone cannot be ended."""


class Holder(Struct, frozen=True):
    """A process that holds a lock; `started` tells it from a later one with the same number."""

    worker: str
    pid: int
    started: str


class WorkerLocks:
    """The locks in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, worker: str) -> FileIO:
        """Take the lock of this worker for this process; it lasts until the file is closed.

        Raises OSError, also where somebody has removed the file meanwhile.
        """
        path = self._path(worker)
        # A file that is opened here is not inherited by children.
        file = path.open("w+b", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(msgspec.json.encode(Holder(worker, os.getpid(), _started(os.getpid()))))
        if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise FileNotFoundError(f"{path} was removed")
        return file

    def living(self) -> list[Holder]:
        """The workers that live; the locks of those that do not are cleared away."""
        return [holder for path in self._paths() if (holder := _holder(path)) is not None]

    def end_all(self, grace_seconds: float) -> list[Holder]:
        """End all workers that live: ask them, then kill them; tells which these were.

        Raises WorkerStaysError for one that outlives even SIGKILL, as in a call of a broken disk.
        """
        found = self.living()
        for holder in found:
            _tell(holder, signal.SIGKILL if _is_stopped(holder.pid) else signal.SIGTERM)
        late = self._wait(grace_seconds)
        for holder in late:
            _tell(holder, signal.SIGKILL)
        if late and (staying := self._wait(_KILLED_SECONDS)):
            pids = ", ".join(str(holder.pid) for holder in staying)
            raise WorkerStaysError(
                f"A worker of a server that is gone still runs (process {pids}) and cannot be "
                "ended. End it, or restart the machine."
            )
        return found

    def _wait(self, seconds: float) -> list[Holder]:
        end = time.monotonic() + seconds
        while (left := self.living()) and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
        return left

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(self._folder.glob("*.lock")))


def _holder(path: Path) -> Holder | None:
    """Who holds a lock; None, and the file is gone, where nobody does."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            try:
                return msgspec.json.decode(file.read(), type=Holder)
            except msgspec.DecodeError:
                # Taken this very moment, and not yet signed.
                return Holder(path.stem, 0, "")
        path.unlink(missing_ok=True)
        return None


def _tell(holder: Holder, number: signal.Signals) -> None:
    if holder.pid and _started(holder.pid) == holder.started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(holder.pid, number)


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, after its name; nothing elsewhere, or where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _is_stopped(pid: int) -> bool:
    return _stat(pid)[:1] in (["T"], ["t"])
