"""Scenarios of the service: a batch at full speed, faults, one line, a restart."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from bench.inputs import write_lines
from bench.measure import cpu_seconds, percentile, resident_bytes
from bench.report import Figure, Section
from bench.serving import ENDED, Caller, Yard, open_yard
from bench.setting import Setting
from bench.upstream import TRIED_MICROS, Faults

__all__ = ["faulty", "one_line", "restart", "worker"]

_POLL_SECONDS = 0.005
_ROUNDS_ONE_LINE = 20
_BATCHES_AT_RESTART = 1000
# As many lines are in flight from the start, so that clean and faulty runs differ by faults only.
_WIDTH = {"start_concurrency": 256, "max_concurrency": 256}
_FAULTS = Faults(every_429=101, every_500=103, every_hang=5003)
_HANG_SECONDS = 2.0


@dataclass(frozen=True)
class Watched:
    """One batch from its creation to its end, as someone saw it who polled."""

    lines: int
    cpu_seconds: float
    seconds: float
    running_seconds: float
    polls: list[float]
    counts: set[int]

    @property
    def micros(self) -> float:
        """CPU microseconds of the worker per line."""
        return self.cpu_seconds / self.lines * 1e6


def worker(setting: Setting) -> Iterator[Section]:
    """One batch at full speed: what the worker takes, and what others notice of it."""
    source = write_lines(setting.folder / "lines.jsonl", setting.lines)
    rounds, floors = [], []
    with (
        setting.floor.upstream() as upstream,
        open_yard(setting.folder / "worker", upstream.url) as yard,
    ):
        caller = Caller(yard.port)
        file_id = caller.upload(source)
        _warm_up(setting, caller)
        for _ in range(setting.repeat):
            if asked := setting.floor.alone(setting.lines):
                floors.append(asked[1])
            rounds.append(_watch(caller, yard, file_id, setting.lines))
        held = resident_bytes(yard.worker) / 1e6, resident_bytes(yard.pid) / 1e6
    polls = [percentile(one.polls, 99) * 1e3 for one in rounds]
    moved = [len(one.counts) / one.running_seconds for one in rounds]
    running = [one.lines / one.running_seconds for one in rounds]
    whole = [one.lines / one.seconds for one in rounds]
    beside: list[Figure] = []
    if floors:
        ratios = [one.micros / c for one, c in zip(rounds, floors, strict=True)]
        beside = [
            Figure("C client: CPU per line", floors, "µs"),
            Figure("CPU per line: times the C client", ratios, "×", 30 / TRIED_MICROS),
        ]
    yield Section(
        "The service's worker",
        f"Batches of {setting.lines:,} lines one after the other, an instant upstream; polled "
        f"every {_POLL_SECONDS * 1e3:.0f} ms meanwhile, by a client on the upstream's core. "
        f"Where 30 µs were asked for, the C client took {TRIED_MICROS} µs.",
        [
            Figure("CPU of the worker per line", [one.micros for one in rounds], "µs", 30),
            Figure("Lines per second, seen running to seen ended", running, "/s", 25_000, True),
            Figure("Lines per second, created to seen ended", whole, "/s"),
            Figure("Most memory held by the worker", [held[0]], "MB", 150),
            Figure("Most memory held by the server", [held[1]], "MB", 150),
            Figure("GET of the running batch, 99 % are under", polls, "ms", 20),
            Figure("Different counts seen per second", moved, "/s", 2, True),
            *beside,
        ],
    )


def faulty(setting: Setting) -> Iterator[Section]:
    """The same batch with an upstream that throttles, fails and hangs."""
    source = write_lines(setting.folder / "lines.jsonl", setting.lines)
    clean: list[Watched] = []
    broken: list[Watched] = []
    calls = []
    for _ in range(setting.repeat):
        clean.append(_one_batch(setting, source, Faults())[0])
        watched, posts = _one_batch(setting, source, _FAULTS)
        broken.append(watched)
        calls.append(posts / setting.lines)
    ratios = [bad.micros / good.micros for bad, good in zip(broken, clean, strict=True)]
    figures = [
        Figure("CPU of the worker per line, clean", [one.micros for one in clean], "µs"),
        Figure("CPU of the worker per line, with faults", [one.micros for one in broken], "µs"),
        Figure("With faults, times clean", ratios, "×", 1.5),
        Figure("Created to seen ended, clean", [one.seconds for one in clean], "s"),
        Figure("Created to seen ended, with faults", [one.seconds for one in broken], "s"),
    ]
    if setting.floor.program is not None:
        figures.append(Figure("Calls per line, with faults", calls, ""))
    yield Section(
        "Faults",
        f"Of the calls, every {_FAULTS.every_429}st is told 429 with `retry-after-ms: 50`, every "
        f"{_FAULTS.every_500}rd 500, and every {_FAULTS.every_hang:,}rd never gets an answer and "
        f"is given up after {_HANG_SECONDS:.0f} s; 256 in flight with and without.",
        figures,
    )


def one_line(setting: Setting) -> Iterator[Section]:
    """How long the smallest batch takes."""
    source = write_lines(setting.folder / "single.jsonl", 1)
    took = []
    with (
        setting.floor.upstream() as upstream,
        open_yard(setting.folder / "one-line", upstream.url, pinned=False) as yard,
    ):
        caller = Caller(yard.port)
        _warm_up(setting, caller)
        file_id = caller.upload(source)
        for _ in range(_ROUNDS_ONE_LINE):
            began = time.perf_counter()
            caller.until_ended(caller.create(file_id), every_seconds=0.002)
            took.append((time.perf_counter() - began) * 1e3)
    yield Section(
        "A batch of one line",
        f"{_ROUNDS_ONE_LINE} of them, one after the other, polled every 2 ms.",
        [Figure("Asked for to seen `completed`", took, "ms", 150)],
    )


def restart(setting: Setting) -> Iterator[Section]:
    """How soon a server with a past is ready."""
    source = write_lines(setting.folder / "single.jsonl", 1)
    folder = setting.folder / "restart"
    with setting.floor.upstream() as upstream:
        with open_yard(folder, upstream.url, pinned=False) as yard:
            caller = Caller(yard.port)
            file_id = caller.upload(source)
            created = [caller.create(file_id) for _ in range(_BATCHES_AT_RESTART)]
            for batch_id in created:
                ended = caller.until_ended(batch_id)
                assert ended["status"] == "completed", ended
        ready = []
        for _ in range(setting.repeat):
            with open_yard(folder, upstream.url, pinned=False) as yard:
                ready.append(yard.ready_seconds)
    yield Section(
        "Restart",
        f"A server with {_BATCHES_AT_RESTART:,} finished batches in its store.",
        [Figure("Start of the command to 200 of `/healthz`", ready, "s", 2)],
    )


def _one_batch(setting: Setting, source: Path, faults: Faults) -> tuple[Watched, int]:
    """One batch on a server of its own, and how many calls it took."""
    folder = Path(mkdtemp(dir=setting.folder))
    settings = _WIDTH | {"timeout_seconds": _HANG_SECONDS}
    with (
        setting.floor.upstream(faults=faults) as upstream,
        open_yard(folder, upstream.url, upstream=settings) as yard,
    ):
        caller = Caller(yard.port)
        _warm_up(setting, caller)
        watched = _watch(caller, yard, caller.upload(source), setting.lines)
    return watched, upstream.served.posts


def _warm_up(setting: Setting, caller: Caller) -> None:
    # What the worker takes to start is not the batch's; it has started when it answers a line.
    single = write_lines(setting.folder / "single.jsonl", 1)
    caller.until_ended(caller.create(caller.upload(single)))


def _watch(caller: Caller, yard: Yard, file_id: str, lines: int) -> Watched:
    used, began = cpu_seconds(yard.worker), time.perf_counter()
    batch_id = caller.create(file_id)
    running = None
    polls: list[float] = []
    counts: set[int] = set()
    while True:
        asked = time.perf_counter()
        batch = caller.batch(batch_id)
        now = time.perf_counter()
        polls.append(now - asked)
        if running is None and batch["status"] != "validating":
            running = asked
        counts.add(batch["request_counts"]["completed"])
        if batch["status"] in ENDED:
            break
        time.sleep(_POLL_SECONDS)
    assert batch["request_counts"]["completed"] == lines, batch
    assert running is not None
    return Watched(
        lines=lines,
        cpu_seconds=cpu_seconds(yard.worker) - used,
        seconds=now - began,
        running_seconds=now - running,
        polls=polls,
        counts=counts,
    )
