"""`batchyard status`: how a campaign stands, by its folder alone, or a batch at its server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from batchyard.cli.aims import TO, WHAT, aim_at
from batchyard.cli.batch_text import failure_lines, lane_parts, refusal_lines
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, clean, tell_json
from batchyard.cli.remote import batch_at, campaign_meant
from batchyard.cli.submit import open_campaign

with lazily():
    from batchyard.client.campaigns import standing as standings


__all__ = ["status"]

_FILES = ("input_file_id", "output_file_id", "error_file_id")


@click.command()
@WHAT
@TO
@AS_JSON
def status(*, what: str, to: str | None, as_json: bool) -> None:
    """Show how a campaign or a batch stands; of a campaign it asks no server.

    BATCH is an id, the beginning of one, or @last.
    """
    folder = campaign_meant(what)
    if folder is not None:
        _show_campaign(folder, as_json=as_json)
        return
    found = batch_at(aim_at(to, what), what)
    if as_json:
        tell_json(found)
    else:
        _show_batch(found)


def _show_campaign(folder: Path, *, as_json: bool) -> None:
    standing = open_campaign(folder).standing()
    if as_json:
        tell_json(standing)
        return
    click.echo(f"{standing.id} · {standing.requests:,} requests · {standing.base_url}")
    for one in standing.chunks:
        click.echo(
            f"{one.name}  {one.lines:>9,}  {standings.stage_of(one):<10}  {one.batch_id or '-'}"
        )
        for trouble in one.errors[:1]:
            click.echo(f"        {clean(trouble.code)}: {clean(trouble.message)}")
    if standing.cancelled:
        click.echo("cancelled")
    if standing.counts is not None:
        told = [f"{count:,} {name}" for name, count in standing.counts.items() if count]
        click.echo(", ".join(told))
        if odd := standings.oddities_of(standing):
            click.echo(", ".join(odd))


def _show_batch(found: dict[str, Any]) -> None:
    counts = found["request_counts"]
    click.echo(
        f"{found.get('id')} · {found['status']} · {counts['total']:,} requests · "
        f"{counts['completed']:,} succeeded, {counts['failed']:,} failed"
    )
    told = [f"endpoint {found.get('endpoint')}", f"window {found.get('completion_window')}"]
    told += [
        f"{name} {_moment(found[f'{name}_at'])}"
        for name in ("created", "completed", "failed", "expired", "cancelled")
        if found.get(f"{name}_at")
    ]
    click.echo(" · ".join(told))
    for name in _FILES:
        if found.get(name):
            click.echo(f"{name.removesuffix('_file_id'):8}{found[name]}")
    for name, text in (found.get("metadata") or {}).items():
        click.echo(f"{clean(name)}={clean(text)}")
    reason = found.get("batchyard", {}).get("reason")
    if reason is not None:
        click.echo(f"{clean(reason['code'])}: {clean(reason['message'])}")
    for text in (*lane_parts(found), *failure_lines(found), *refusal_lines(found)):
        click.echo(text)


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
