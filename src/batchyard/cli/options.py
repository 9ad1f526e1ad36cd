"""Arguments and options that verbs have alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard.wire import objects


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "AS_JSON",
    "OUTPUT",
    "SOURCE",
    "SOURCES",
    "STRICT",
    "TABLES",
    "TIMEOUT",
    "Named",
    "amount",
    "clean",
    "tell_json",
]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

SOURCE = click.argument("source", metavar="IN.jsonl", type=_FILE)
SOURCES = click.argument("sources", metavar="IN.jsonl...", type=_FILE, nargs=-1, required=True)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Say it in JSON.")

OUTPUT = click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where it goes, whole or not at all; stdout unless given.",
)
STRICT = click.option(
    "--strict", is_flag=True, help="Exit with code 6 where a request has no answer."
)
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait for no longer: exit code 7, and the batches go on.",
)

# Suffixes of what holds rows, and never lines.
TABLES = frozenset(
    {".csv", ".tsv", ".gz", ".parquet", ".pq", ".duckdb", ".ddb", ".sqlite", ".sqlite3", ".db"}
)


class Named(click.ParamType[str]):
    """One of some names, which are looked up when one is given; `--help` does not list them."""

    name = "name"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; fails with a list of all where there is no such name."""
        return click.Choice(tuple(self._names())).convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin so."""
        return click.Choice(tuple(self._names())).shell_complete(ctx, param, incomplete)


_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kMGB]?)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def clean(text: object) -> str:
    """Text of others on one line, without what a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def tell_json(told: Any) -> None:
    """Write one JSON object to stdout, on a line of its own."""
    click.echo(objects.to_json(told))


def amount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """A number that may have a unit: 90000, 90k, 1.5M, 2B."""
    if text is None:
        return None
    found = _AMOUNT.fullmatch(text.replace("_", "").replace(",", ""))
    if found is None or not (number := int(float(found[1]) * _UNITS[found[2]])):
        raise click.BadParameter("write a number such as 50000, 90k, 1.5M or 2B")
    return number
