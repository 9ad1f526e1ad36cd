"""`batchyard resume`: goes on with a campaign that was stopped or killed."""

import sys
from pathlib import Path
from typing import Any

import click

from batchyard.cli.checking import CHECK
from batchyard.cli.options import AS_JSON, STRICT, TIMEOUT
from batchyard.cli.remote import DIR
from batchyard.cli.submit import go_on, open_campaign, tell_counts

__all__ = ["resume"]

_NOT_YET = 7


@click.command()
@DIR
@TIMEOUT
@STRICT
@CHECK
@click.option(
    "--take-over",
    is_flag=True,
    help="Of a campaign at a URL: also where another machine was heard of lately.",
)
@AS_JSON
def resume(
    folder: Path,
    *,
    timeout: float | None,
    strict: bool,
    check: Any,
    take_over: bool,
    as_json: bool,
) -> None:
    """Go on with a campaign that was stopped or killed; the same as watch."""
    campaign = open_campaign(folder, check)
    if take_over and (before := campaign.take_over()):
        click.echo(f"Taken over from {before}.", err=True)
    counts = go_on(campaign, "end", timeout)
    if counts is None:
        click.echo("Not all batches have ended.", err=True)
        sys.exit(_NOT_YET)
    tell_counts(campaign, counts, as_json=as_json, strict=strict)
