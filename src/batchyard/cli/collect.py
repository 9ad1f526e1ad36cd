"""`batchyard collect`: one look at a campaign's batches, for a cron to repeat."""

import sys
from pathlib import Path
from typing import Any

import click

from batchyard.cli.checking import CHECK
from batchyard.cli.options import AS_JSON, STRICT
from batchyard.cli.remote import DIR
from batchyard.cli.submit import go_on, open_campaign, tell_counts

__all__ = ["collect"]

_NOT_YET = 7


@click.command()
@DIR
@STRICT
@CHECK
@AS_JSON
def collect(folder: Path, *, strict: bool, check: Any, as_json: bool) -> None:
    """Look once, fetch what has ended, and submit what there is room for now."""
    campaign = open_campaign(folder, check)
    counts = go_on(campaign, "turn")
    if counts is None:
        click.echo("Not all batches have ended.", err=True)
        sys.exit(_NOT_YET)
    tell_counts(campaign, counts, as_json=as_json, strict=strict)
