"""`batchyard usage`: what was used, and what it costs."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import store_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    from batchyard.places import store
    from batchyard.rules import limits
    from batchyard.wire import money as costs

if TYPE_CHECKING:
    from batchyard.places.store.usage import Used


__all__ = ["usage"]

_COLUMNS = ("completed", "failed", "input", "cached", "output", "usd", "saved_usd")
_KEYS: dict[str, Callable[[Used], str]] = {
    "day": lambda one: time.strftime("%Y-%m-%d", time.gmtime(one.minute)),
    "model": lambda one: one.spent.model,
    "project": lambda one: one.project_id,
    "batch": lambda one: one.batch_id,
}


@click.command()
@click.option(
    "--by",
    default="day",
    metavar="day|model|project|batch|tag:NAME",
    help="What a row is; tag:NAME stands for the metadata of that name. By default the day, UTC.",
)
@click.option("--since", default="30d", metavar="30d", help="How far back, such as 12h or 7d.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, for other programs.")
@click.option("--data", metavar="DIR", help="The server's data folder.")
@AS_JSON
def usage(*, data: str | None, by: str, since: str, as_csv: bool, as_json: bool) -> None:
    """Show tokens and costs by day, model, project, batch or metadata; works beside the server."""
    key, seconds = _key(by), limits.window_seconds(since, limits.RELAXED)
    if seconds is None:
        raise click.BadParameter("write it like 12h, 7d or 30d", param_hint="--since")
    now = int(time.time())
    records = store.Records(store_of(data))
    found: dict[str, list[Used]] = {}
    for one in records.used(None, now - seconds, now + 1):
        found.setdefault(key(one), []).append(one)
    rows = [_row(name, some) for name, some in sorted(found.items())]
    total = _row("total", [one for some in found.values() for one in some])
    if as_json:
        for row in rows:
            tell_json({by: row[0]} | dict(zip(_COLUMNS, map(_number, row[1:]), strict=True)))
        return
    if as_csv:
        csv.writer(sys.stdout).writerows([(by, *_COLUMNS), *rows])
        return
    _print([(by, *_COLUMNS), *rows, total])


def _key(by: str) -> Callable[[Used], str]:
    if by.startswith("tag:"):
        name = by.removeprefix("tag:")
        return lambda one: one.metadata.get(name, "-")
    if by not in _KEYS:
        raise click.BadParameter(f"one of {', '.join(_KEYS)} or tag:NAME", param_hint="--by")
    return _KEYS[by]


def _row(name: str, some: Iterable[Used]) -> tuple[str, ...]:
    used = list(some)
    cost = costs.cost_of(one.spent for one in used)
    numbers = (
        sum(one.completed for one in used),
        sum(one.failed for one in used),
        sum(one.spent.input_tokens for one in used),
        sum(one.spent.cached_tokens for one in used),
        sum(one.spent.output_tokens for one in used),
    )
    # Without a price there is nothing to say: no cost is not the same as no price.
    money = (f"{cost.usd:.6f}", f"{cost.saved_usd:.6f}") if cost is not None else ("", "")
    return (name, *map(str, numbers), *money)


def _number(text: str) -> float | None:
    """What a program reads; None where there is no price."""
    return (float(text) if "." in text else int(text)) if text else None


def _print(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        numbers = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        click.echo("  ".join([first.ljust(widths[0]), *numbers]))
