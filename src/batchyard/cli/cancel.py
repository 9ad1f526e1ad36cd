"""`batchyard cancel`: ends a campaign and keeps what was answered."""

import sys
from pathlib import Path

import click

from batchyard.cli.submit import go_on, open_campaign, tell_counts
from batchyard.client.intents import CampaignInUseError, Diary

__all__ = ["cancel"]

_NOT_YET = 7


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Say it in JSON.")
def cancel(folder: Path, *, as_json: bool) -> None:
    """Submit nothing more, and cancel the batches under way; `collect` or `watch` see them end."""
    campaign = open_campaign(folder)
    campaign.cancel()
    try:
        Diary(folder, alone=True).close()
    except CampaignInUseError:
        click.echo("Another process watches this campaign; it cancels the batches.", err=True)
        return
    counts = go_on(campaign, "turn")
    if counts is None:
        click.echo(f"Cancelling. To see the end: batchyard watch {folder}", err=True)
        sys.exit(_NOT_YET)
    tell_counts(campaign, counts, as_json=as_json)
