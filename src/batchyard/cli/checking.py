"""`--check MODULE:NAME`: the function that a campaign holds its answers against."""

import importlib
from typing import Any

import click

__all__ = ["CHECK"]


def _check(_ctx: click.Context, _param: click.Parameter, word: str | None) -> Any:
    if word is None:
        return None
    # Loaded for the few who say it: `--help` is quicker without.
    if word == "none":
        return importlib.import_module("batchyard.client.campaigns.checked").unchecked
    found = importlib.import_module("batchyard.cli.road").named_in_module(word, "--check")
    if not callable(found):
        raise click.BadParameter(f"{word} is no function.")
    return found


CHECK = click.option(
    "--check",
    metavar="MODULE:NAME",
    callback=_check,
    help="What answers are held against, where the campaign was begun with check=; or `none`.",
)
