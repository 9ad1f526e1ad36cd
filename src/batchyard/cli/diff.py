"""`batchyard diff`: which answers changed from one run to another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import later
from batchyard.cli.lazily import lazily
from batchyard.cli.meant import results_meant
from batchyard.cli.options import clean, in_json, json_option

with lazily():
    from batchyard.client.results import comparing
    from batchyard.wire import objects

if TYPE_CHECKING:
    from batchyard.client.results.comparing import Difference


__all__ = ["diff"]

_SHOWN_CHARACTERS = 60


@click.command()
@click.argument("before", metavar="BEFORE", shell_complete=later("files_or_campaigns"))
@click.argument("after", metavar="AFTER", shell_complete=later("files_or_campaigns"))
@click.option("--field", metavar="PATH", help="Compare only this of answers in JSON: label.")
@click.option("--count", "counting", is_flag=True, help="How often which answer became which.")
@click.option("--exit-code", "strict", is_flag=True, help="Exit with 1 where anything changed.")
@json_option("A JSON line for each.")
def diff(
    *, before: str, after: str, field: str | None, counting: bool, strict: bool, as_json: bool
) -> None:
    """Say which answers changed from BEFORE to AFTER, request by request.

    Each is a file of results, a campaign's folder, or @last. Answers in JSON are compared as
    values; ids, times and usage do not count.
    """
    paths = results_meant(before), results_meant(after)
    counts = Counter[str]()
    pairs = Counter[tuple[str, str]]()
    for one in comparing.compare(*paths, field):
        counts[one.change] += 1
        if counting:
            pairs[_short(one.before), _short(one.after)] += 1
        elif one.change != "same":
            for line in [in_json(one).decode()] if as_json else _lines(one):
                click.echo(line)
    for line in _table(pairs, as_json=as_json):
        click.echo(line)
    click.echo(
        f"{paths[0]} | {paths[1]}: same: {counts['same']:,}, changed: {counts['answer']:,}, "
        f"other outcome: {counts['outcome']:,}, only before: {counts['only_before']:,}, "
        f"only after: {counts['only_after']:,}",
        err=True,
    )
    sys.exit(1 if strict and counts.total() > counts["same"] else 0)


def _lines(one: Difference) -> Iterable[str]:
    """A difference for people; of objects only what differs."""
    name = clean(one.custom_id)
    if one.change == "only_before":
        return [f"{name}: only before: {_short(one.before)}"]
    if one.change == "only_after":
        return [f"{name}: only after: {_short(one.after)}"]
    if isinstance(one.before, dict) and isinstance(one.after, dict):
        return [
            f"{name}: {clean(key)}: {_short(one.before.get(key))} → {_short(one.after.get(key))}"
            for key in {**one.before, **one.after}
            if one.before.get(key) != one.after.get(key)
        ]
    return [f"{name}: {_short(one.before)} → {_short(one.after)}"]


def _table(pairs: Counter[tuple[str, str]], *, as_json: bool) -> Iterator[str]:
    for (before, after), often in pairs.most_common():
        if as_json:
            yield in_json({"before": before, "after": after, "requests": often}).decode()
        else:
            yield f"{often:>8,}  {before} → {after}" + ("" if before != after else "  (same)")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else objects.to_json(value).decode()
    shown = "".join(one if one.isprintable() else " " for one in text[: _SHOWN_CHARACTERS + 1])
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
