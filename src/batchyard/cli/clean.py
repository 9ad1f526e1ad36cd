"""`batchyard clean`: what campaigns have left at the server, or in the cache, is deleted."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.aims import aim_for, later
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.cli.remote import campaign_meant, talk
from batchyard.cli.submit import open_campaign

with lazily():
    from batchyard.client.campaigns import cleaning
    from batchyard.places import machine, remembered

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote
    from batchyard.client.campaigns.cleaning import Leftover


__all__ = ["clean"]


@click.command()
@click.argument("what", metavar="DIR|@last", required=False, shell_complete=later("campaigns"))
@click.option("--cache", is_flag=True, help="Instead, forget the answers of earlier campaigns.")
@click.option("--dry-run", is_flag=True, help="Tell the files and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def clean(*, what: str | None, cache: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete the files that a complete campaign has left at the server.

    Only files that the campaign itself uploaded or whose batches made them, and only when their
    content is in its folder, which stays as it is. With --cache, delete the answers that are kept
    on this machine, so that what is asked again is not paid again.
    """
    if cache == (what is not None):
        raise click.UsageError("Name a campaign, or give --cache.")
    if what is None:
        _forget(dry_run=dry_run, yes=yes, as_json=as_json)
        return
    folder = campaign_meant(what, whole=True) or Path(what)
    campaign = open_campaign(folder)
    try:
        files = cleaning.leftovers(campaign.standing(), campaign.folder)
    except cleaning.NotCollectedError as error:
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
        async for one in cleaning.delete_all(remote, files):
            counts[one.became] += 1
            _tell(one, as_json=as_json)

    talk(aim_for(settings.base_url, settings.target), delete)
    click.echo(
        f"deleted: {counts['deleted']:,}, gone before: {counts['gone']:,}; {campaign.place} stays",
        err=True,
    )


def _forget(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    kept = remembered.Remembered(machine.cache_folder(os.environ), time.time)
    count, size = _size_of(kept)
    held = f"{count:,} answers, {size:,} bytes"
    if not dry_run and not yes:
        click.confirm(f"Forget {held} in {kept.path}?", abort=True, err=True)
    if not dry_run:
        kept.forget()
    if as_json:
        told = {"file": str(kept.path), "answers": count, "bytes": size}
        tell_json({**told, "became": "kept" if dry_run else "deleted"})
    else:
        click.echo(f"{kept.path}  {held}  {'kept' if dry_run else 'deleted'}")


def _size_of(kept: remembered.Remembered) -> tuple[int, int]:
    try:
        return kept.size()
    except remembered.ForgottenError:
        # It is damaged: a reason more to let it go.
        return 0, kept.path.stat().st_size


def _tell(one: Leftover, *, as_json: bool) -> None:
    if as_json:
        tell_json(one)
    else:
        click.echo(f"{one.file_id}  {one.kind:<6}  {one.became}  {one.batch_id or '-'}")
