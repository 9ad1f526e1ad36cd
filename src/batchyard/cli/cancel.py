"""`batchyard cancel`: ends a campaign and keeps what was answered."""

from __future__ import annotations

import sys
from typing import Any

import click

from batchyard.cli.aims import TO, WHAT
from batchyard.cli.checking import CHECK
from batchyard.cli.lazily import lazily
from batchyard.cli.lone import cancel_batch
from batchyard.cli.options import AS_JSON
from batchyard.cli.remote import campaign_meant
from batchyard.cli.submit import go_on, open_campaign, tell_counts

with lazily():
    from batchyard.client.campaigns import checked, intents


__all__ = ["cancel"]

_NOT_YET = 7


@click.command()
@WHAT
@TO
@CHECK
@AS_JSON
def cancel(*, what: str, to: str | None, check: Any, as_json: bool) -> None:
    """Cancel a batch, or all of a campaign that is under way; `watch` sees the end.

    BATCH is an id, the beginning of one, or @last. What was answered is kept.
    """
    folder = campaign_meant(what)
    if folder is None:
        cancel_batch(what, to, as_json=as_json)
        return
    if check is None and (name := intents.Diary(folder, alone=False).check):
        # Batches that cost money do not wait for a function.
        click.echo(f"Without --check, answers are not held against {name}.", err=True)
        check = checked.unchecked
    campaign = open_campaign(folder, check)
    campaign.cancel()
    try:
        intents.Diary(folder, alone=True).close()
    except intents.CampaignInUseError:
        click.echo("Another process watches this campaign; it cancels the batches.", err=True)
        return
    counts = go_on(campaign, "turn")
    if counts is None:
        click.echo(f"Cancelling. To see the end: batchyard watch {campaign.place}", err=True)
        sys.exit(_NOT_YET)
    tell_counts(campaign, counts, as_json=as_json)
