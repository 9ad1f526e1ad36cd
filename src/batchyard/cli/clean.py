"""`batchyard clean`: what a campaign has left at the server is deleted; its folder stays."""

from collections import Counter
from pathlib import Path

import click

from batchyard.cli.aims import aim_for
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.cli.remote import campaign_meant, talk
from batchyard.cli.submit import open_campaign
from batchyard.client.apis.remote import Remote
from batchyard.client.campaigns.cleaning import Leftover, NotCollectedError, delete_all, leftovers

__all__ = ["clean"]


@click.command()
@click.argument("what", metavar="DIR|@last")
@click.option("--dry-run", is_flag=True, help="Tell the files and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def clean(*, what: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete the files that a complete campaign has left at the server.

    Only files that the campaign itself uploaded or whose batches made them, and only when their
    content is in its folder, which stays as it is.
    """
    folder = campaign_meant(what) or Path(what)
    campaign = open_campaign(folder)
    try:
        files = leftovers(campaign.standing())
    except NotCollectedError as error:
        raise click.ClickException(str(error)) from error
    settings = campaign.manifest.settings
    if dry_run:
        for one in files:
            _tell(one, as_json=as_json)
        click.echo(f"{len(files):,} files at {settings.base_url}; nothing was deleted", err=True)
        return
    if not yes:
        click.confirm(f"Delete {len(files):,} files at {settings.base_url}?", abort=True, err=True)
    counts = Counter[str]()

    async def delete(remote: Remote) -> None:
        async for one in delete_all(remote, files):
            counts[one.became] += 1
            _tell(one, as_json=as_json)

    talk(aim_for(settings.base_url, settings.target), delete)
    click.echo(
        f"deleted: {counts['deleted']:,}, gone before: {counts['gone']:,}; {folder} stays", err=True
    )


def _tell(one: Leftover, *, as_json: bool) -> None:
    if as_json:
        tell_json(one)
    else:
        click.echo(f"{one.file_id}  {one.kind:<6}  {one.became}  {one.batch_id or '-'}")
