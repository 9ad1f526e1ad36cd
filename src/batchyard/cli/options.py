"""Arguments and options that verbs have alike."""

import os
import re
from pathlib import Path
from typing import Any

import click

from batchyard.client.apis.profiles import ProfileError, config_file, read_profiles
from batchyard.client.apis.targets import TARGETS, target_of_url
from batchyard.wire.objects import to_json

__all__ = [
    "AS_JSON",
    "OUTPUT",
    "SOURCE",
    "SOURCES",
    "STRICT",
    "TARGET",
    "TIMEOUT",
    "amount",
    "clean",
    "tell_json",
]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

SOURCE = click.argument("source", metavar="IN.jsonl", type=_FILE)
SOURCES = click.argument("sources", metavar="IN.jsonl...", type=_FILE, nargs=-1, required=True)


class _TargetName(click.Choice[str]):
    """A target by its name, or the one that a profile or a URL belongs to."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in TARGETS:
            return value
        try:
            known = read_profiles(config_file(os.environ)).profile
        except ProfileError as error:
            self.fail(str(error), param, ctx)
        url = known[value].url if value in known else value
        if "://" not in url:
            return super().convert(value, param, ctx)
        target = target_of_url(url)
        return target.name if target is not None else "any"


TARGET = click.option(
    "--for",
    "--to",
    "target",
    type=_TargetName(list(TARGETS)),
    default="openai",
    show_default=True,
    help="Whose limits and rules count; also by a profile or a URL.",
)
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

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kMGB]?)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def clean(text: object) -> str:
    """Text of others on one line, without what a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def tell_json(told: Any) -> None:
    """Write one JSON object to stdout, on a line of its own."""
    click.echo(to_json(told))


def amount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """A number that may have a unit: 90000, 90k, 1.5M, 2B."""
    if text is None:
        return None
    found = _AMOUNT.fullmatch(text.replace("_", "").replace(",", ""))
    if found is None or not (number := int(float(found[1]) * _UNITS[found[2]])):
        raise click.BadParameter("write a number such as 50000, 90k, 1.5M or 2B")
    return number
