"""`batchyard why`: in one line, why a batch does not move, and when it will be done."""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import click
import msgspec

from batchyard.cli.machine import store_of
from batchyard.places.store import Records
from batchyard.rules.standing import paced
from batchyard.server.extras import extras_of
from batchyard.wire.objects import to_json

__all__ = ["why"]

_TIMEOUT_SECONDS = 30.0


@click.command()
@click.argument("batch")
@click.option("--url", metavar="URL", help="Base URL of the server; OPENAI_BASE_URL unless given.")
@click.option("--data", metavar="DIR", help="Or the server's data folder, on its machine.")
def why(batch: str, url: str | None, data: str | None) -> None:
    """Say in one line how BATCH stands: its reason, its end, and its deadline.

    A server is asked with OPENAI_API_KEY; without a URL, the data folder is looked at.
    """
    url = url or (None if data else os.environ.get("OPENAI_BASE_URL"))
    shown = _ask(url, batch) if url else _look(data, batch)
    click.echo(_line(shown, time.time()))


def _ask(url: str, batch: str) -> dict[str, Any]:
    key = os.environ.get("OPENAI_API_KEY")
    request = urllib.request.Request(
        f"{url.rstrip('/')}/batches/{quote(batch, safe='')}",
        headers={"authorization": f"Bearer {key}"} if key else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            shown: dict[str, Any] = json.load(answer)
            return shown
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_message(error.read()) or str(error)) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{url} cannot be asked: {error}") from error


def _message(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return None


def _look(data: str | None, batch: str) -> dict[str, Any]:
    records, now = Records(store_of(data)), time.time()
    standings, lanes, workers = records.standings([batch], time.monotonic())
    standing = standings.get(batch)
    shown = records.batch(standing.project_id, batch) if standing is not None else None
    if standing is None or shown is None:
        raise click.ClickException(f"No batch found with id '{batch}'.")
    pace = None
    if standing.admitted_at is not None:
        counts = shown.request_counts
        pace = paced(None, now, counts.completed + counts.failed, standing.admitted_at)
    extras = extras_of(shown, standing, lanes, workers, pace, now)
    dressed: dict[str, Any] = json.loads(to_json(msgspec.structs.replace(shown, batchyard=extras)))
    return dressed


def _line(shown: dict[str, Any], now: float) -> str:
    extras, counts = shown.get("batchyard", {}), shown["request_counts"]
    parts = [f"{shown['id']} {shown['status']}"]
    if counts["total"]:
        parts.append(f"{counts['completed'] + counts['failed']:,} of {counts['total']:,} done")
    reason = extras.get("reason")
    if reason is not None:
        since = reason.get("since")
        ago = "" if since is None else f" (for {_span(now - since)})"
        parts.append(f"{reason['code']}: {reason['message']}{ago}")
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
