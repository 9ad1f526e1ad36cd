"""`batchyard ls`: campaigns in this folder, and batches at the target."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import TO, aim, profiles_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.cli.remote import talk

with lazily():
    import msgspec

    from batchyard.client.apis import finding, provider
    from batchyard.client.campaigns import campaign

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote


__all__ = ["ls"]


@click.command()
@TO
@click.option("--active", is_flag=True, help="Only what has not ended.")
@click.option("--here", is_flag=True, help="Only campaigns in this folder; asks no server.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many of the newest batches are looked at.",
)
@AS_JSON
def ls(*, to: str | None, active: bool, here: bool, limit: int, as_json: bool) -> None:
    """List the campaigns in and below this folder, and the newest batches at the target."""
    for folder in finding.campaigns_below(Path()):
        try:
            told = _campaign(folder)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            click.echo(f"{folder} cannot be read: {error}", err=True)
            continue
        _show(told, active=active, as_json=as_json)
    if here:
        return
    destination = aim(to)
    if to is None and not destination.key and not _is_chosen():
        click.echo("No target is set up: batchyard config, or --to.", err=True)
        return

    async def work(remote: Remote) -> None:
        async for one in remote.newest_batches(limit):
            _show(_batch(one), active=active, as_json=as_json)

    talk(destination, work)


def _is_chosen() -> bool:
    """Whether somebody has said where to; else it would be OpenAI, without a key."""
    return bool(os.environ.get("OPENAI_BASE_URL") or profiles_here().use)


def _campaign(folder: Path) -> dict[str, Any]:
    standing = campaign.Campaign(folder).standing()
    counts = standing.counts
    stage = "cancelling" if standing.cancelled else "under way"
    batches = [one.batch_id for one in standing.chunks if one.batch_id]
    return {
        "kind": "campaign",
        "id": str(folder),
        "status": stage if counts is None else "ended",
        "active": counts is None,
        "total": standing.requests,
        "completed": None if counts is None else counts["succeeded"],
        "failed": None if counts is None else standing.requests - counts["succeeded"],
        "created_at": int((folder / "campaign.json").stat().st_mtime),
        "base_url": standing.base_url,
        "batches": batches,
        "metadata": {},
    }


def _batch(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "batch",
        "id": found.get("id"),
        "status": found["status"],
        "active": found["status"] not in provider.ENDED,
        **found["request_counts"],
        "created_at": found.get("created_at"),
        "base_url": None,
        "batches": [found.get("id")],
        "metadata": found.get("metadata") or {},
    }


def _show(told: dict[str, Any], *, active: bool, as_json: bool) -> None:
    if active and not told["active"]:
        return
    if as_json:
        tell_json(told)
        return
    done = "" if told["completed"] is None else f"{told['completed'] + told['failed']:,}/"
    failed = f"{told['failed']:,} failed" if told["failed"] else ""
    moment = told["created_at"]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else "-"
    click.echo(
        f"{told['kind']:8}  {told['id']:38}  {told['status']:11}  "
        f"{done + format(told['total'], ','):>15}  {when}  {failed}".rstrip()
    )
