"""What it costs to be told: `--version`, `--help`, and `--help` of each verb."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.measure import YARD_CORE, Cost, python, run
from bench.report import Figure, Section
from bench.setting import Setting

__all__ = ["helping"]

_TIMES = 10
_MOST = 100
_COMMAND = str(Path(sys.executable).with_name("batchyard"))
_KINDS: dict[str, Callable[[Cost], float]] = {
    "CPU": lambda one: one.cpu_seconds,
    "wall": lambda one: one.seconds,
}
_VERB = re.compile(r"^  ([a-z]+)  ", re.MULTILINE)


def helping(_setting: Setting) -> Iterator[Section]:
    """CPU and wall time, beside that of an interpreter which does nothing."""
    verbs = _VERB.findall(run([_COMMAND, "--help"]).output.partition("Commands:")[2])
    asked = {"python": python("-c", "pass")}
    asked |= {option: [_COMMAND, option] for option in ("--version", "--help")}
    asked |= {verb: [_COMMAND, verb, "--help"] for verb in verbs}
    costs: dict[str, list[Cost]] = {what: [] for what in asked}
    # In turns: who is alone on the machine for a while is so for all.
    for _ in range(_TIMES):
        for what, command in asked.items():
            costs[what].append(run(command, core=YARD_CORE))
    figures = []
    for kind, of in _KINDS.items():
        found = {what: [of(one) * 1e3 for one in some] for what, some in costs.items()}
        slowest = max(verbs, key=lambda verb: median(found[verb]))
        figures += [
            Figure(f"`python -c pass`: {kind}", found["python"], "ms"),
            Figure(f"`batchyard --version`: {kind}", found["--version"], "ms", _MOST),
            Figure(f"`batchyard --help`: {kind}", found["--help"], "ms", _MOST),
            Figure(
                f"`batchyard VERB --help`, medians of all: {kind}", _medians(found, verbs), "ms"
            ),
            Figure(
                f"The slowest, `batchyard {slowest} --help`: {kind}", found[slowest], "ms", _MOST
            ),
        ]
    yield Section(
        "`--version` and `--help`",
        f"{len(verbs)} verbs, each {_TIMES} times, in turns, on one core.",
        figures,
    )


def _medians(found: Mapping[str, Sequence[float]], verbs: Sequence[str]) -> list[float]:
    return [median(found[verb]) for verb in verbs]
