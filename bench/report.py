"""Figures, and the page that they are written on."""

import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Figure", "Section", "load", "renew", "write"]


@dataclass(frozen=True)
class Figure:
    """One measured thing: a value per repetition, and the target, if it has one.

    `at_least` tells on which side of the target it ought to be.
    """

    what: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def met(self) -> str:
        """Whether the median is on the right side; nothing where there is no target."""
        if self.target is None:
            return ""
        right = self.median >= self.target if self.at_least else self.median <= self.target
        return "yes" if right else "**no**"

    def row(self) -> str:
        """A line of a Markdown table."""
        target = ""
        if self.target is not None:
            target = f"{'≥' if self.at_least else '≤'} {_number(self.target)}"
        spread = f"{_number(min(self.values))} to {_number(max(self.values))}"
        if len(self.values) == 1:
            spread = "one run"
        return (
            f"| {self.what} | {_number(self.median)} {self.unit} | {spread} | {target} | "
            f"{self.met} |"
        )


@dataclass(frozen=True)
class Section:
    """What one scenario found."""

    title: str
    setting: str
    figures: Sequence[Figure]
    remarks: Sequence[str] = field(default=())


def load() -> str:
    """How many processes wanted a core in the last minute; others make our figures worse."""
    return f"{os.getloadavg()[0]:.1f}"


def write(
    path: Path, sections: Sequence[Section], *, upstream: str, lines: int, loads: tuple[str, str]
) -> None:
    """Write the page; `loads`: how busy the machine was at the start and at the end."""
    text = [
        "# Results",
        "",
        "Written by `make bench`; do not edit.",
        "Every figure is the median of its repetitions; no test asserts any of them.",
        "",
        f"- When: {_now()}",
        f"- Machine: {_machine()}",
        f"- Load average of a minute: {loads[0]} at the start, {loads[1]} at the end; the bench "
        "itself makes up to 2.",
        f"- Upstream: {upstream}, on one core; what is measured has the other core.",
        f"- Lines: {lines:,} distinct ones of 1 KB, unless a section says otherwise.",
    ]
    parts = ["\n".join(text) + "\n", *(_part(section) for section in sections)]
    path.write_text("\n".join(parts), encoding="utf-8")


def renew(path: Path, sections: Sequence[Section], *, loads: tuple[str, str]) -> None:
    """Put sections in the place of those of the same title; each says when it was measured."""
    first, *others = path.read_text(encoding="utf-8").split("\n## ")
    parts = {part.partition("\n")[0]: f"## {part}" for part in others}
    when = f"Measured apart from the others: {_now()}, load {loads[0]} to {loads[1]}."
    for section in sections:
        parts[section.title] = _part(section, when)
    path.write_text("\n".join([first, *parts.values()]), encoding="utf-8")


def _part(section: Section, when: str = "") -> str:
    text = [f"## {section.title}", "", section.setting, ""]
    text += [when, ""] if when else []
    text += ["| | median | range | target | met |", "|---|---:|---:|---:|---|"]
    text += [figure.row() for figure in section.figures]
    text += ["", *section.remarks] if section.remarks else []
    return "\n".join(text) + "\n"


def _now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} cores, {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )
