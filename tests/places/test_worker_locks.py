"""Worker processes that hold their locks, and those who look for them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from batchyard.places.worker_locks import WorkerLocks

# It says when it holds its lock, and then does what a word says.
HOLDER = """
import signal, sys
from pathlib import Path
from batchyard.places.worker_locks import WorkerLocks
lock = WorkerLocks(Path(sys.argv[1])).hold(sys.argv[2])
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("held", flush=True)
signal.pause()
"""


class Processes:
    """Processes with locks in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.locks = folder, WorkerLocks(folder)
        self._running: list[subprocess.Popen[str]] = []

    def hold(self, worker: str, how: str = "") -> subprocess.Popen[str]:
        """Start one that holds the lock of a worker."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.folder), worker, how],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    def close(self) -> None:
        """End all."""
        for process in self._running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.close()


def test_a_worker_is_seen_as_long_as_it_lives(processes: Processes) -> None:
    """Whoever looks finds the living, and clears away the locks of the dead."""
    one, other = processes.hold("w1"), processes.hold("w2")
    assert [holder.pid for holder in processes.locks.living()] == [one.pid, other.pid]
    one.kill()
    one.wait()
    assert [holder.worker for holder in processes.locks.living()] == ["w2"]
    assert [path.name for path in processes.folder.iterdir()] == ["w2.lock"]


@pytest.mark.parametrize("how", ["", "deaf", "frozen"])
def test_what_a_killed_server_left_is_ended(processes: Processes, how: str) -> None:
    """It is asked first; one that does not listen, or stands still, is killed."""
    process = processes.hold("w1", how)
    if how == "frozen":
        frozen = psutil.Process(process.pid)
        frozen.suspend()
        while frozen.status() != psutil.STATUS_STOPPED:
            pass
    grace_seconds = 0.05 if how == "deaf" else 20.0
    assert [holder.pid for holder in processes.locks.end_all(grace_seconds)] == [process.pid]
    number = signal.SIGTERM if how == "" else signal.SIGKILL
    assert process.wait() == -number
    assert list(processes.folder.iterdir()) == []


def test_a_number_that_was_given_anew_is_not_ended(processes: Processes) -> None:
    """A lock file that nobody holds says nothing of the process that has this number now."""
    process = processes.hold("w1")
    left = (processes.folder / "w1.lock").read_bytes()
    process.kill()
    process.wait()
    bystander = processes.hold("w2")
    text = left.replace(str(process.pid).encode(), str(bystander.pid).encode())
    (processes.folder / "w1.lock").write_bytes(text)
    assert [holder.worker for holder in processes.locks.living()] == ["w2"]
    assert bystander.poll() is None
