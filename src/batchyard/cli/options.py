"""Arguments and options that verbs have alike."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchyard.cli.lazily import lazily

with lazily():
    import json

    from batchyard.wire import objects


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "AS_JSON",
    "COUNTED",
    "LINES",
    "OUTPUT",
    "PLAIN",
    "SOURCE",
    "SOURCES",
    "STRICT",
    "TABLES",
    "TIMEOUT",
    "Named",
    "amount",
    "clean",
    "in_json",
    "is_plain",
    "json_option",
    "of_fields",
    "tell_json",
]

# Suffixes of what holds rows, and never lines.
TABLES = frozenset(
    {".csv", ".tsv", ".gz", ".parquet", ".pq", ".duckdb", ".ddb", ".sqlite", ".sqlite3", ".db"}
)


class _Lines(click.Path):
    """A file of lines; of a table it is said how requests are made of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if Path(value).suffix.lower() in TABLES - {".gz"}:
            made = f"batchyard make {value} --model MODEL --template '{{COLUMN}}' -o in.jsonl"
            self.fail(f"{value} is a table. To make requests of its rows: {made}", param, ctx)
        return path


LINES = _Lines(exists=True, dir_okay=False, path_type=Path)

SOURCE = click.argument("source", metavar="IN.jsonl", type=LINES)
SOURCES = click.argument("sources", metavar="IN.jsonl...", type=LINES, nargs=-1, required=True)
_Verb = TypeVar("_Verb", bound=Callable[..., Any])
# What was said on the command line of how it is told.
_FIELDS, _PLAIN = "batchyard.fields", "batchyard.plain"


def json_option(help: str) -> Callable[[_Verb], _Verb]:
    """The options `--json`, and `--fields`, which means the same with some of each object only."""
    said = click.option("--json", "as_json", is_flag=True, callback=_wants_json, help=help)
    some = click.option(
        "--fields",
        metavar="A,B,...",
        is_eager=True,
        expose_value=False,
        callback=_note_fields,
        help="Only these of each, as JSON: id,request_counts.failed.",
    )
    return lambda verb: said(some(verb))


def _note_fields(ctx: click.Context, _param: click.Parameter, words: str | None) -> None:
    ctx.meta[_FIELDS] = [one.strip() for one in (words or "").split(",") if one.strip()]


def _wants_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    return value or bool(ctx.meta.get(_FIELDS))


def _note_plain(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[_PLAIN] = value


AS_JSON = json_option("Say it in JSON.")
COUNTED = "With -o, say in JSON how many."
PLAIN = click.Option(
    ["--plain"],
    is_flag=True,
    expose_value=False,
    callback=_note_plain,
    help="Line by line, on a terminal too.",
)

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


_AMOUNT = r"([0-9]+(?:\.[0-9]+)?)([kMGB]?)"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def clean(text: object) -> str:
    """Text of others on one line, without what a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def tell_json(told: Any) -> None:
    """Write one JSON object to stdout, on a line of its own."""
    click.echo(in_json(told))


def in_json(told: Any) -> bytes:
    """An object in JSON; of `--fields`, those only."""
    return of_fields(objects.to_json(told))


def of_fields(line: bytes) -> bytes:
    """A line of JSON as it stands, or with what `--fields` says of it."""
    ctx = click.get_current_context(silent=True)
    fields = ctx.meta.get(_FIELDS) if ctx is not None else None
    if not fields:
        return line
    found = json.loads(line)
    # In ASCII, for half of a surrogate pair can be told so only.
    return json.dumps({path: _at(path, found) for path in fields}).encode()


def is_plain() -> bool:
    """Whether what was written is not to be drawn over."""
    ctx = click.get_current_context(silent=True)
    return os.environ.get("TERM") == "dumb" or bool(ctx is not None and ctx.meta.get(_PLAIN))


def _at(path: str, found: Any) -> Any:
    """What stands at a dotted path; wrong usage where its first name is none."""
    for number, name in enumerate(path.split(".")):
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif not number and isinstance(found, dict):
            raise click.UsageError(f"There is no field '{name}'. There are: {', '.join(found)}.")
        else:
            return None
    return found


def amount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """A number that may have a unit: 90000, 90k, 1.5M, 2B."""
    if text is None:
        return None
    found = re.fullmatch(_AMOUNT, text.replace("_", "").replace(",", ""))
    if found is None or not (number := int(float(found[1]) * _UNITS[found[2]])):
        raise click.BadParameter("write a number such as 50000, 90k, 1.5M or 2B")
    return number
