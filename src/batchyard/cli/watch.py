"""`batchyard watch`: goes on with a campaign to its end, and tells how far it is."""

import sys
from typing import Any

import click

from batchyard.cli.aims import TO, WHAT
from batchyard.cli.checking import CHECK
from batchyard.cli.lone import watch_batch
from batchyard.cli.options import AS_JSON, STRICT, TIMEOUT
from batchyard.cli.remote import campaign_meant
from batchyard.cli.submit import go_on, open_campaign, tell_counts

__all__ = ["watch"]

_NOT_YET = 7


@click.command()
@WHAT
@TO
@TIMEOUT
@STRICT
@CHECK
@AS_JSON
def watch(
    *, what: str, to: str | None, timeout: float | None, strict: bool, check: Any, as_json: bool
) -> None:
    """Go on with a campaign, or look at a batch, until every request has its result.

    BATCH is an id, the beginning of one, or @last. Ctrl-C cancels nothing.
    """
    folder = campaign_meant(what)
    if folder is None:
        watch_batch(what, to, timeout, strict=strict, as_json=as_json)
        return
    campaign = open_campaign(folder, check)
    counts = go_on(campaign, "end", timeout)
    if counts is None:
        click.echo("Not all batches have ended.", err=True)
        sys.exit(_NOT_YET)
    tell_counts(campaign, counts, as_json=as_json, strict=strict)
