"""What a process cost: seconds, CPU seconds, memory."""

import contextlib
import math
import os
import subprocess
import sys
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

_APART = Path(__file__).with_name("apart.py")
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
    """Run a command to its end, on one core if given; raises when it fails."""
    told, tell = os.pipe()
    small = [sys.executable, "-IS", str(_APART), str(tell), "" if core is None else str(core)]
    process = subprocess.Popen(
        [*small, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        text=True,
        pass_fds=(tell,),
    )
    os.close(tell)
    assert process.stdout is not None
    assert process.stderr is not None
    # Errors are few and short here: they wait in the pipe until the output has ended.
    with process, os.fdopen(told) as cost:
        output = process.stdout.read()
        errors = process.stderr.read()
        seconds, cpu, held, code = cost.read().split() or ("0", "0", "0", "1")
    if code != "0":
        raise RuntimeError(f"{' '.join(command)} failed: {errors[-2000:]}")
    return Cost(
        seconds=float(seconds),
        cpu_seconds=float(cpu),
        resident_bytes=int(held),
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
