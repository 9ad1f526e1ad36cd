"""The scenario of what a user would do instead."""

from collections.abc import Iterator
from pathlib import Path

from bench.inputs import count_lines, write_lines
from bench.measure import YARD_CORE, Cost, python, run
from bench.report import Figure, Section
from bench.setting import Setting

__all__ = ["alternatives"]

_IN_FLIGHT = 64
# Name, module, and into how many parts the lines are divided: the slow ones get few of them.
_PEERS = (
    ("aiohttp and a semaphore", "with_aiohttp", 5),
    ("lm-deluge", "with_lm_deluge", 10),
    ("`openai` SDK and a semaphore", "with_openai", 25),
)


def alternatives(setting: Setting) -> Iterator[Section]:
    """CPU per line of each alternative, as a multiple of that of `batchyard run`."""
    single = write_lines(setting.folder / "single.jsonl", 1)
    own = _rising(setting, "run", setting.lines, single)
    figures = [Figure("`batchyard run`: CPU per line", own[0], "µs"), _held("`batchyard run`", own)]
    for name, module, part in _PEERS:
        found = _rising(setting, module, max(1, setting.lines // part), single)
        ratios = [theirs / ours for theirs, ours in zip(found[0], own[0], strict=True)]
        figures += [
            Figure(f"{name}: CPU per line", found[0], "µs"),
            Figure(f"{name}: times `batchyard run`", ratios, "×"),
            _held(f"{name}, {max(1, setting.lines // part):,} lines", found),
        ]
    yield Section(
        "What one would do instead",
        f"An instant upstream, {_IN_FLIGHT} in flight. The alternatives answer fewer lines, for "
        "they are slow; what a process needs for one line is taken off, for all alike. As "
        "scripted here they keep everything in memory and nothing when they are killed.",
        figures,
    )


_Found = tuple[list[float], list[float]]


def _rising(setting: Setting, module: str, lines: int, single: Path) -> _Found:
    """CPU microseconds per line beyond the first, and the megabytes held."""
    source = write_lines(setting.folder / f"lines-{lines}.jsonl", lines)
    micros, megabytes = [], []
    for _ in range(setting.repeat):
        start = _cost(setting, module, single)
        cost = _cost(setting, module, source)
        micros.append((cost.cpu_seconds - start.cpu_seconds) / lines * 1e6)
        megabytes.append(cost.resident_bytes / 1e6)
    return micros, megabytes


def _held(what: str, found: _Found) -> Figure:
    return Figure(f"{what}: most memory held", found[1], "MB")


def _cost(setting: Setting, module: str, source: Path) -> Cost:
    output = setting.folder / "instead.jsonl"
    with setting.floor.upstream() as upstream:
        files = (str(source), str(output))
        if module == "run":
            width = ("--start-concurrency", str(_IN_FLIGHT), "--max-concurrency", str(_IN_FLIGHT))
            words = ("run", files[0], "-o", files[1], "--upstream", upstream.url, *width)
            command = python("-m", "batchyard", *words)
        else:
            script = f"bench.alternatives.{module}"
            command = python("-m", script, *files, upstream.url, str(_IN_FLIGHT))
        cost = run(command, core=YARD_CORE)
    expected, answered = count_lines(source), count_lines(output)
    output.unlink()
    assert answered == expected, f"{module} answered {answered} of {expected} lines"
    if setting.floor.program is not None:
        # An alternative that gave up on its lines would look cheap.
        assert upstream.served.posts >= expected, f"{module} asked {upstream.served.posts} times"
    return cost
