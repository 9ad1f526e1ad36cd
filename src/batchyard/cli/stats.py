"""`batchyard stats`: what is in a file, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import SOURCE, json_option, tell_json

with lazily():
    from batchyard.client.examining import reading
    from batchyard.client.results import counting

if TYPE_CHECKING:
    from batchyard.client.results.counting import ResultStats, Spread


__all__ = ["stats"]

# So many of a kind are told to people.
_TOLD_MAX = 10


@click.command()
@SOURCE
@json_option("All of it as one object.")
def stats(*, source: Path, as_json: bool) -> None:
    """Say what is in a file of requests or of results, in numbers.

    Requests: endpoints, models, sizes, tokens, and what is asked twice. Results: outcomes, codes,
    models, tokens, and the answers, where they are labels.
    """
    found = counting.count(reading.lines_of(reading.chunks_of(source)))
    if as_json:
        kind = "requests" if isinstance(found, counting.RequestStats) else "results"
        tell_json({"file": str(source), "kind": kind, "stats": found})
        return
    rows = _of_requests(found) if isinstance(found, counting.RequestStats) else _of_results(found)
    for name, told in rows:
        click.echo(f"{name:<16}{told}")
    if found.unreadable:
        click.echo(f"{found.unreadable:,} lines cannot be read; see `batchyard check`", err=True)
    if isinstance(found, counting.RequestStats):
        click.echo("tokens: one for every 4 bytes of the bodies", err=True)


def _of_requests(found: counting.RequestStats) -> Iterator[tuple[str, str]]:
    yield "requests", f"{found.requests:,}"
    yield from _counts("endpoint", found.endpoints)
    yield from _counts("model", found.models)
    yield from _spread("bytes of a line", found.line_bytes)
    yield from _spread("input tokens", found.input_tokens)
    yield (
        "asked again",
        (
            f"prompts: {found.repeated_prompts:,}, whole requests: {found.repeated_requests:,}, "
            f"custom_ids: {found.repeated_custom_ids:,}"
        ),
    )
    for one in found.repeats:
        often = "once more" if one.times == 1 else f"{one.times:,} times more"
        yield "", f"{often}: the prompt of line {one.line:,}"


def _of_results(found: ResultStats) -> Iterator[tuple[str, str]]:
    yield "results", f"{found.results:,}"
    yield from _counts("outcome", found.outcomes)
    yield from _counts("code", found.codes)
    yield from _counts("model", found.models)
    yield from _spread("bytes of a line", found.line_bytes)
    yield from _spread("input tokens", found.input_tokens)
    yield from _spread("output tokens", found.output_tokens)
    yield from _counts("answer", found.labels)
    if found.repeated_custom_ids:
        yield "custom_ids", f"{found.repeated_custom_ids:,} come again"


def _counts(name: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    total = sum(counts.values())
    for place, (what, often) in enumerate(counts.items()):
        if place == _TOLD_MAX:
            yield "", f"… and {len(counts) - _TOLD_MAX:,} more; --json tells all"
            return
        shown = "".join(one if one.isprintable() else " " for one in what) or "(none)"
        yield "" if place else name, f"{shown}: {often:,} ({often / total:.1%})"


def _spread(name: str, spread: Spread | None) -> Iterator[tuple[str, str]]:
    if spread is not None:
        yield (
            name,
            (
                f"{spread.least:,} to {spread.most:,}, median {spread.median:,}, "
                f"90 % up to {spread.p90:,}, 99 % up to {spread.p99:,}; {spread.sum:,} in all"
            ),
        )
