"""`batchyard why`: in one line, why a batch does not move, and when it will be done."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from batchyard.cli.aims import TO, aim_at, aim_for, later
from batchyard.cli.batch_text import failure_lines, lane_parts, refusal_lines
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.cli.remote import batch_at, campaign_meant
from batchyard.cli.submit import open_campaign

with lazily():
    from batchyard.cli import standing
    from batchyard.client.apis import provider


__all__ = ["why"]


@click.command()
@click.argument("batch", shell_complete=later("batches_or_campaigns"))
@TO
@click.option("--url", hidden=True)
@click.option("--data", metavar="DIR", help="Or the server's data folder, on its machine.")
@AS_JSON
def why(*, batch: str, to: str | None, url: str | None, data: str | None, as_json: bool) -> None:
    """Say in one line how BATCH stands: its reason, its end, and its deadline.

    A line more tells each cause for which lines failed. BATCH is an id, the beginning of one, or
    @last. A server of ours says more than others.
    """
    folder = None if data else campaign_meant(batch)
    if folder is not None:
        found = _of_campaign(folder)
    elif data or (not (to or url or os.environ.get("OPENAI_BASE_URL")) and standing.is_server()):
        found = [standing.look(data, batch)]
    else:
        found = [batch_at(aim_at(to or url, batch), batch)]
    for one in found:
        if as_json:
            tell_json(one)
        else:
            click.echo(_line(one, time.time()))
            for text in (*failure_lines(one), *refusal_lines(one)):
                click.echo(f"  {text}")


def _of_campaign(folder: Path) -> list[dict[str, Any]]:
    campaign = open_campaign(folder)
    now = campaign.standing()
    open_batches = [one.batch_id for one in now.chunks if one.batch_id and not one.is_over]
    if now.counts is not None:
        click.echo(f"{campaign.place} has ended; see: batchyard status {campaign.place}", err=True)
    elif not open_batches:
        click.echo(f"No batch is under way. To go on: batchyard watch {campaign.place}", err=True)
    settings = campaign.manifest.settings
    destination = aim_for(settings.base_url, settings.target)
    return [batch_at(destination, id) for id in open_batches]


def _line(shown: dict[str, Any], now: float) -> str:
    extras, counts = shown.get("batchyard", {}), shown["request_counts"]
    parts = [f"{shown['id']} {shown['status']}"]
    if counts["total"]:
        done = f"{counts['completed'] + counts['failed']:,} of {counts['total']:,} done"
        failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
        parts.append(done + failed)
    reason = extras.get("reason")
    if reason is not None:
        since = reason.get("since")
        ago = "" if since is None else f" (for {_span(now - since)})"
        parts.append(f"{reason['code']}: {reason['message']}{ago}")
    elif shown["status"] == "in_progress":
        parts += lane_parts(shown)
    if not extras and shown["status"] not in provider.ENDED:
        parts.append("its server does not say why")
        if shown.get("expires_at"):
            parts.append(f"its window ends in {_span(shown['expires_at'] - now)}")
    if extras.get("eta_at") is not None:
        verdict = str(extras.get("verdict", "")).replace("_", " ")
        parts.append(f"done in {_span(extras['eta_at'] - now)}, {verdict}")
    return "; ".join(parts)


def _span(seconds: float) -> str:
    left = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if left >= 2 * size:
            return f"{left // size} {unit}"
    return f"{left} s"
