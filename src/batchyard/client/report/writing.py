"""Writes a report: gathers, renders, and puts the file in its place whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchyard.client.apis.pricing import PriceOf, prices_of
from batchyard.client.report.facts import Facts
from batchyard.client.report.gathering import gather
from batchyard.client.report.golds import Gold, GoldError, from_metadata, from_table
from batchyard.client.report.page import render
from batchyard.client.report.sources import base_url_of
from batchyard.places.clock import system_clock
from batchyard.places.whole import publish

__all__ = ["facts_of", "write_report"]


def facts_of(
    source: Path,
    *,
    price_of: PriceOf | None = None,
    gold: str | None = None,
    label: str | None = None,
    rows: Any = None,
    key: str | None = None,
    wall: Callable[[], float] | None = None,
) -> Facts:
    """What a report on a campaign's folder, or on a file of results, would tell.

    `gold` is a column of `rows`, whose column `key` made the custom_ids (without it, rows stand in
    the order of the requests). Without `rows`, it is a column of the rows that the campaign was
    made of, or a name in the requests' metadata. Prices are those of batchyard.toml, else those
    that the campaign's server lists.
    """
    known: Gold | None = None
    if gold is not None and rows is not None:
        known = from_table(rows, gold, key)
    elif gold is not None and not (source / "sheet.json").exists():
        if not source.is_dir():
            raise GoldError("A file of results has no gold labels; name the table they are in.")
        known = from_metadata(source / "input.jsonl", gold)
    now = (wall or system_clock().wall)()
    facts = gather(
        source,
        made_at=int(now),
        price_of=price_of or prices_of(base_url_of(source)),
        gold=known,
        column=gold if known is None else None,
        label=label,
    )
    if gold is not None and facts.agreement is not None and not facts.agreement.compared:
        raise GoldError(f"None of the results has a gold label in {gold!r}.")
    return facts


def write_report(facts: Facts, path: Path) -> Path:
    """Write the page; the file is there whole or not at all."""
    publish(path, render(facts))
    return path
