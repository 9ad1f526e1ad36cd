"""What a process cost: seconds, CPU seconds, memory."""

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "CORES",
    "UPSTREAM_CORE",
    "YARD_CORE",
    "Cost",
    "children",
    "cpu_seconds",
    "percentile",
    "pin",
    "python",
    "resident_bytes",
    "run",
]

CORES = sorted(os.sched_getaffinity(0))
# The upstream, and whoever watches, has one core to itself; what is measured has the other.
UPSTREAM_CORE, YARD_CORE = CORES[0], CORES[-1]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one process took, with the children that it waited for."""

    seconds: float
    cpu_seconds: float
    resident_bytes: int
    output: str

    def micros_per(self, lines: int) -> float:
        """CPU microseconds for each of so many lines."""
        return self.cpu_seconds / lines * 1e6


def run(command: Sequence[str], *, core: int | None = None, cwd: Path | None = None) -> Cost:
    """Run a command to its end, on one core if given; raises when it fails.

    Linux counts the memory of the process that started it too, up to that moment: the bench
    itself has to stay small, and never holds a whole file.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, text=True
    )
    if core is not None:
        pin(process.pid, core)
    assert process.stdout is not None
    assert process.stderr is not None
    # Errors are few and short here: they wait in the pipe until the output has ended.
    output = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {errors[-2000:]}")
    return Cost(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        resident_bytes=usage.ru_maxrss * 1024,
        output=output + errors,
    )


def pin(pid: int, core: int) -> None:
    """Hold a process, with every thread it has now, on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a running process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """The most memory that a running process has held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started and that still run."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (thread / "children").read_text().split())


def python(*words: str) -> list[str]:
    """A command for the interpreter that runs this."""
    return [sys.executable, *words]
