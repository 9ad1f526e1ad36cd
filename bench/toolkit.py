"""Scenarios of the toolkit: building files, checking them, merging results, tables."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.inputs import count_lines, write_lines
from bench.measure import YARD_CORE, Cost, python, run
from bench.report import Figure, Section
from bench.setting import Setting

__all__ = ["builder", "checker", "large_merger", "merger", "tables"]

_OURS, _OPENBATCH = "bench.building", "bench.alternatives.with_openbatch"
_WHAT = {
    "plain": "Responses, one call each",
    "structured": "The same, with a Pydantic model for the answer",
    "templated": "A template and rows",
    "embeddings": "Embeddings, a text in each line",
}
_BUILT_PER_SECOND, _CHECKED_MEGABYTES_PER_SECOND = 50_000, 200
# What takes openbatch too long is measured with fewer lines.
_OPENBATCH_PART = 5
_MERGED, _MERGE_MEGABYTES = 1_000_000, 100


def builder(setting: Setting) -> Iterator[Section]:
    """Lines a second and megabytes a second to a file, beside openbatch."""
    figures: list[Figure] = []
    path = setting.folder / "built.jsonl"
    for kind, what in _WHAT.items():
        ours = _Found(setting, _OURS, kind, setting.lines, path)
        theirs = _Found(setting, _OPENBATCH, kind, setting.lines // _OPENBATCH_PART, path)
        figures += [
            Figure(f"{what}: lines", ours.rates, "/s", _BUILT_PER_SECOND, at_least=True),
            Figure(f"{what}: bytes", ours.megabytes, "MB/s"),
            Figure(f"{what}: most memory held", ours.held, "MB"),
            Figure(f"{what}, openbatch: lines", theirs.rates, "/s"),
            Figure(f"{what}, openbatch: most memory held", theirs.held, "MB"),
        ]
    texts = _Found(setting, _OURS, "packed", 10 * setting.lines, path)
    figures.append(Figure("Embeddings, packed: texts", texts.rates, "/s"))
    yield Section(
        "Building a file",
        f"{setting.lines:,} lines of about 1 KB from a generator, synced to the disk; "
        f"openbatch builds {setting.lines // _OPENBATCH_PART:,}. "
        "The start of the process is taken off, for both alike.",
        figures,
    )


def checker(setting: Setting) -> Iterator[Section]:
    """Megabytes a second of a file that is sound, beside openbatch."""
    path = write_lines(setting.folder / "sound.jsonl", min(setting.lines, 50_000))
    lines = count_lines(path)
    ours = _Found(setting, _OURS, "check", lines, path, size=path.stat().st_size)
    theirs = _Found(setting, _OPENBATCH, "check", lines, path, size=path.stat().st_size)
    most = _CHECKED_MEGABYTES_PER_SECOND
    yield Section(
        "Checking a file",
        f"A sound file of {lines:,} lines of 1 KB, for OpenAI. The start of the process is taken "
        "off, for both alike.",
        [
            Figure("Bytes", ours.megabytes, "MB/s", most, at_least=True),
            Figure("Lines", ours.rates, "/s"),
            Figure("Most memory held", ours.held, "MB"),
            Figure("openbatch: bytes", theirs.megabytes, "MB/s"),
            Figure("openbatch: lines", theirs.rates, "/s"),
            Figure("openbatch: most memory held", theirs.held, "MB"),
        ],
    )


def merger(setting: Setting) -> Iterator[Section]:
    """A million results of twenty batches, each of which answered in an order of its own."""
    yield _merged(setting, _MERGED, setting.repeat)


def large_merger(setting: Setting) -> Iterator[Section]:
    """Ten times as many, once: 22 GB on the disk."""
    yield _merged(setting, 10 * _MERGED, 1)


def _merged(setting: Setting, lines: int, repeat: int) -> Section:
    folder = setting.folder / "campaign"
    run(python("-m", "bench.merging", "prepare", str(lines), str(folder)))
    costs = []
    for _ in range(repeat):
        cost = run(python("-m", "bench.merging", "merge", str(lines), str(folder)), core=YARD_CORE)
        assert json.loads(cost.output)["succeeded"] == lines, cost.output
        costs.append(cost)
    size = (folder / "results.jsonl").stat().st_size
    shutil.rmtree(folder)
    return Section(
        f"Merging {lines:,} results",
        f"{size / 1e6:,.0f} MB of results, in the order of the input. openbatch has no results.",
        [
            Figure("Whole merge", [one.seconds for one in costs], "s"),
            Figure("CPU per result", [one.micros_per(lines) for one in costs], "µs"),
            Figure("Results", [lines / one.seconds for one in costs], "/s"),
            Figure("Bytes written", [size / one.seconds / 1e6 for one in costs], "MB/s"),
            Figure("Most memory held", _held(costs), "MB", _MERGE_MEGABYTES),
        ],
    )


def tables(setting: Setting) -> Iterator[Section]:
    """A million rows to each kind of table, back again, and beside a million results."""
    folder = setting.folder / "tables"
    run(python("-m", "bench.tabling", "prepare", str(_MERGED), str(folder)))
    figures: list[Figure] = []
    for kind in ("csv", "jsonl", "parquet", "sqlite", "duckdb"):
        for verb, what in (("write", "written"), ("read", "read"), ("join", "with answers")):
            # A database has one table more each time.
            times = 1 if kind in ("sqlite", "duckdb") else setting.repeat
            command = python("-m", "bench.tabling", verb, str(_MERGED), str(folder), kind)
            costs = [run(command, core=YARD_CORE) for _ in range(times)]
            assert {int(one.output) for one in costs} == {_MERGED}
            rates = [_MERGED / one.seconds for one in costs]
            figures.append(Figure(f"{kind}, {what}: rows", rates, "/s"))
            figures.append(Figure(f"{kind}, {what}: most memory held", _held(costs), "MB"))
    shutil.rmtree(folder)
    yield Section(
        f"Tables of {_MERGED:,} rows",
        "Four columns of about 100 bytes; with answers, from each kind of table to the same, "
        "beside the results of a campaign. openbatch has none of it.",
        figures,
    )


class _Found:
    """What a kind of building or checking costs, less the start of a process."""

    def __init__(
        self,
        setting: Setting,
        module: str,
        kind: str,
        lines: int,
        path: Path,
        *,
        size: int | None = None,
    ) -> None:
        self.rates: list[float] = []
        self.megabytes: list[float] = []
        costs = []
        single = write_lines(setting.folder / "single.jsonl", 1) if size else path
        for _ in range(setting.repeat):
            start = _cost(module, kind, 1, single, keep=size is not None)
            cost = _cost(module, kind, lines, path, keep=size is not None)
            seconds = cost.seconds - start.seconds
            self.rates.append(lines / seconds)
            self.megabytes.append((size or int(cost.output)) / seconds / 1e6)
            costs.append(cost)
        self.held = _held(costs)


def _cost(module: str, kind: str, lines: int, path: Path, *, keep: bool) -> Cost:
    """One process; where it builds, its output is how many bytes it has built."""
    if not keep:
        path.unlink(missing_ok=True)
    cost = run(python("-m", module, kind, str(lines), str(path)), core=YARD_CORE)
    if keep:
        return cost
    built = replace(cost, output=str(path.stat().st_size))
    path.unlink()
    return built


def _held(costs: list[Cost]) -> list[float]:
    return [one.resident_bytes / 1e6 for one in costs]
