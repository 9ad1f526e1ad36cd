"""Scenarios of `batchyard run`."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.inputs import count_lines, write_lines
from bench.measure import YARD_CORE, Cost, python, run
from bench.report import Figure, Section
from bench.setting import Setting
from bench.upstream import TRIED_MICROS, Served

__all__ = ["full_upstream", "million", "plain"]

_numbers = itertools.count()


def plain(setting: Setting) -> Iterator[Section]:
    """`run` with an instant upstream, beside the C client."""
    source = write_lines(setting.folder / "lines.jsonl", setting.lines)
    single = write_lines(setting.folder / "single.jsonl", 1)
    # The first start of all may compile modules; it is not counted.
    _answered(setting, single)
    costs, starts, floors, served = [], [], [], []
    for _ in range(setting.repeat):
        if asked := setting.floor.alone(setting.lines):
            floors.append(asked)
        cost, one = _answered(setting, source)
        costs.append(cost)
        served.append(one)
        starts.append(_answered(setting, single)[0])
    lines = setting.lines
    rising = [
        (cost.cpu_seconds - start.cpu_seconds) / lines * 1e6
        for cost, start in zip(costs, starts, strict=True)
    ]
    per_line = [cost.micros_per(lines) for cost in costs]
    figures = [
        Figure("CPU per line, the whole process", per_line, "µs", 25),
        Figure("CPU per line, less that of a run of one line", rising, "µs"),
        Figure("CPU of a run of one line", [one.cpu_seconds * 1e3 for one in starts], "ms"),
        Figure(f"Lines per second, {_span(setting)}", _rates(served, lines, costs), "/s"),
        Figure("Whole command", [cost.seconds for cost in costs], "s"),
        Figure("Most memory held", _megabytes(costs), "MB", 80),
    ]
    if floors:
        figures.append(Figure("C client: CPU per line", [one[1] for one in floors], "µs"))
        figures.append(Figure("C client: lines per second", [one[0] for one in floors], "/s"))
        ratios = [mine / c[1] for mine, c in zip(per_line, floors, strict=True)]
        figures.append(Figure("CPU per line: times the C client", ratios, "×", 25 / TRIED_MICROS))
    yield Section(
        "`batchyard run`",
        f"{lines:,} lines, an instant upstream; every answer is on disk when the command ends. "
        f"Where 25 µs were asked for, the C client took {TRIED_MICROS} µs.",
        figures,
    )


def million(setting: Setting) -> Iterator[Section]:
    """`run` with a million lines, for its memory."""
    lines = 1_000_000
    source = write_lines(setting.folder / "million.jsonl", lines)
    cost, _ = _answered(setting, source)
    source.unlink()
    yield Section(
        "`batchyard run`, a million lines",
        "1,000,000 lines, 1 GB, an instant upstream.",
        [
            Figure("Most memory held", _megabytes([cost]), "MB", 160),
            Figure("CPU per line", [cost.micros_per(lines)], "µs", 25),
            Figure("Whole command", [cost.seconds], "s"),
        ],
    )


def full_upstream(setting: Setting) -> Iterator[Section]:
    """How full `run` keeps an upstream that takes its time, against the C client."""
    for delay_seconds, in_flight in ((0.05, 1000), (1.0, 5000)):
        # So many lines that filling up and emptying do not count for much.
        lines = int(in_flight * max(10, 5 / delay_seconds)) * setting.lines // 50_000
        lines = max(lines, 3 * in_flight)
        source = write_lines(setting.folder / f"lines-{lines}.jsonl", lines)
        width = ("--start-concurrency", str(in_flight), "--max-concurrency", str(in_flight))
        rates, costs, floors, asks = [], [], [], []
        for _ in range(setting.repeat):
            with setting.floor.upstream(delay_seconds) as upstream:
                if asked := setting.floor.ask(upstream, in_flight, lines):
                    asks.append(asked[1])
            # Both by the upstream's clock; without a C client, against what the delay allows.
            floors.append(upstream.served.per_second or in_flight / delay_seconds)
            cost, served = _answered(setting, source, *width, delay_seconds=delay_seconds)
            rates.append(served.per_second or lines / cost.seconds)
            costs.append(cost)
        most_of = "the C client" if setting.floor.program else "what the delay allows"
        shares = [100 * rate / most for rate, most in zip(rates, floors, strict=True)]
        per_line = [cost.micros_per(lines) for cost in costs]
        beside = [Figure("C client: CPU per line", asks, "µs")] if asks else []
        yield Section(
            f"Answers after {delay_seconds * 1e3:,.0f} ms, {in_flight:,} in flight",
            f"`batchyard run` of {lines:,} lines; {_span(setting)}.",
            [
                Figure("Lines per second", rates, "/s"),
                Figure(f"Lines per second of {most_of}", floors, "/s"),
                Figure(f"Share of {most_of}", shares, "%", 90, at_least=True),
                Figure("CPU per line", per_line, "µs", 60),
                *beside,
                Figure("Most memory held", _megabytes(costs), "MB"),
            ],
        )


def _answered(
    setting: Setting, source: Path, *options: str, delay_seconds: float = 0.0
) -> tuple[Cost, Served]:
    output = setting.folder / f"answers-{next(_numbers)}.jsonl"
    with setting.floor.upstream(delay_seconds) as upstream:
        words = ("run", str(source), "-o", str(output), "--upstream", upstream.url, *options)
        cost = run(python("-m", "batchyard", *words), core=YARD_CORE)
    assert count_lines(output) == count_lines(source), cost.output
    output.unlink()
    return cost, upstream.served


def _span(setting: Setting) -> str:
    """What rates are taken over: a simulated upstream does not tell when it was first called."""
    return "first call to last answer" if setting.floor.program else "the whole command"


def _rates(served: Sequence[Served], lines: int, costs: Sequence[Cost]) -> list[float]:
    return [one.per_second or lines / cost.seconds for one, cost in zip(served, costs, strict=True)]


def _megabytes(costs: Sequence[Cost]) -> list[float]:
    return [cost.resident_bytes / 1e6 for cost in costs]
