"""The upstream of every scenario: canned answers from a small C program, or simulated ones."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import UPSTREAM_CORE, YARD_CORE, pin, python, run

__all__ = [
    "TRIED_MICROS",
    "Faults",
    "Floor",
    "Served",
    "Upstream",
    "compile_floor",
]

# What the C client took per line on the machine where the targets in microseconds were set: how
# many times the C client we take can be compared between machines, and between busy moments.
TRIED_MICROS = 5
_IN_FLIGHT = 64
_SOURCE = Path(__file__).with_name("floor.c")


@dataclass(frozen=True)
class Faults:
    """Which POSTs go wrong: every so-many-th, 0 for none."""

    every_429: int = 0
    every_500: int = 0
    every_hang: int = 0

    def as_simulated(self) -> str:
        """The same shares, as `batchyard sim` takes them."""
        named = {"429-ms": self.every_429, "500": self.every_500, "hang": self.every_hang}
        return ",".join(f"{name}:{1 / every:.6f}" for name, every in named.items() if every)


@dataclass
class Served:
    """How many POSTs an upstream had, and the seconds from the first to the last answer."""

    posts: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """POSTs per second while there were any; 0 where the upstream did not count."""
        return self.posts / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Upstream:
    """An upstream that runs: `served` is known once it has stopped."""

    url: str
    port: int
    served: Served


@dataclass(frozen=True)
class Floor:
    """The compiled C program; None where there is no compiler, and `batchyard sim` stands in."""

    program: Path | None

    @property
    def name(self) -> str:
        """What answers, for the report."""
        if self.program is None:
            return "`batchyard sim` (simulated answers, no C compiler was found)"
        return "bench/floor.c (the same canned answer of 1 KB for everyone, no model)"

    @contextmanager
    def upstream(
        self, delay_seconds: float = 0.0, faults: Faults | None = None
    ) -> Iterator[Upstream]:
        """An upstream with a delay for every answer."""
        faults = faults or Faults()
        process = subprocess.Popen(
            self._command(delay_seconds, faults),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pin(process.pid, UPSTREAM_CORE)
        served = Served()
        try:
            assert process.stdout is not None
            announced = process.stdout.readline().split()[-1]
            port = int(announced.rstrip("/").removesuffix("/v1").rpartition(":")[2])
            yield Upstream(f"http://127.0.0.1:{port}/v1", port, served)
        finally:
            if self.program is None:
                process.terminate()
            told, _ = process.communicate()
            if self.program is not None and told:
                posts, seconds = told.split()
                served.posts, served.seconds = int(posts), float(seconds)

    def ask(self, upstream: Upstream, in_flight: int, lines: int) -> tuple[float, float] | None:
        """Lines per second and CPU microseconds per line of the C client; None without it."""
        if self.program is None:
            return None
        cost = run(
            [str(self.program), "ask", str(upstream.port), str(in_flight), str(lines)],
            core=YARD_CORE,
        )
        done, seconds, cpu_seconds = map(float, cost.output.split())
        return done / seconds, cpu_seconds / done * 1e6

    def alone(self, lines: int) -> tuple[float, float] | None:
        """The same of an instant upstream of its own, as a measure of how fast this moment is."""
        with self.upstream() as upstream:
            return self.ask(upstream, _IN_FLIGHT, lines)

    def _command(self, delay_seconds: float, faults: Faults) -> list[str]:
        if self.program is not None:
            every = (faults.every_429, faults.every_500, faults.every_hang)
            return [str(self.program), "serve", str(delay_seconds * 1e3), *map(str, every)]
        command = python("-m", "batchyard", "sim", "--port", "0", "--models", "m1")
        if delay_seconds:
            command += ["--latency", f"fixed:{delay_seconds}"]
        return [*command, "--faults", faults.as_simulated()] if faults != Faults() else command


def compile_floor(folder: Path) -> Floor:
    """Compile floor.c into a folder."""
    compiler = shutil.which("cc")
    if compiler is None:
        print(
            "NO C COMPILER: no floor is measured, and `batchyard sim`, which is much slower,\n"
            "stands in for the upstream. Install cc for figures that can be compared.",
            file=sys.stderr,
        )
        return Floor(None)
    program = folder / "floor"
    subprocess.run([compiler, "-O2", "-o", str(program), str(_SOURCE)], check=True)
    return Floor(program)
