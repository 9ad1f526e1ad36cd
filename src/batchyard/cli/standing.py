"""How a batch stands, by the store of a server on this machine."""

import json
import time
from typing import Any

import click
import msgspec

from batchyard.cli.machine import folder_of, store_of
from batchyard.places.store import Records
from batchyard.rules.standing import paced
from batchyard.server.extras import FAILURES_SHOWN, extras_of
from batchyard.wire.objects import to_json

__all__ = ["is_server", "look"]


def is_server() -> bool:
    """Whether a server keeps its data here, by the settings of this folder."""
    try:
        return folder_of(None).exists
    except click.ClickException:
        return False


def look(data: str | None, batch: str) -> dict[str, Any]:
    """The batch as the server shows it, with its reason, pace and outlook."""
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
    failures = records.failures([batch])[batch][:FAILURES_SHOWN]
    extras = msgspec.structs.replace(extras, failures=failures)
    dressed: dict[str, Any] = json.loads(to_json(msgspec.structs.replace(shown, batchyard=extras)))
    return dressed
