"""`batchyard status`: how a campaign stands, by its folder alone."""

from pathlib import Path

import click
import msgspec

from batchyard.cli.submit import open_campaign
from batchyard.client.standing import stage_of

__all__ = ["status"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Say it in JSON.")
def status(folder: Path, *, as_json: bool) -> None:
    """Show the batches of a campaign and how they stand; asks no server."""
    standing = open_campaign(folder).standing()
    if as_json:
        click.echo(msgspec.json.encode(standing))
        return
    click.echo(f"{standing.id} · {standing.requests:,} requests · {standing.base_url}")
    for one in standing.chunks:
        click.echo(f"{one.name}  {one.lines:>9,}  {stage_of(one):<10}  {one.batch_id or '-'}")
        for trouble in one.errors[:1]:
            click.echo(f"        {trouble.code}: {trouble.message}")
    if standing.cancelled:
        click.echo("cancelled")
    if standing.counts is not None:
        told = [f"{count:,} {name}" for name, count in standing.counts.items() if count]
        click.echo(", ".join(told))
