"""A batch without a campaign: watched to its end, or cancelled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import aim_at, state_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import tell_json
from batchyard.cli.remote import talk

with lazily():
    import asyncio

    from batchyard.client.apis import finding, provider, targets

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote


__all__ = ["cancel_batch", "watch_batch"]

_ENDED_BADLY, _INCOMPLETE, _NOT_YET = 5, 6, 7
# Ours is asked often; of a server that nobody knows it is likely ours.
_POLL_SECONDS = 5.0
_FAULTS_MAX = 8


def watch_batch(
    word: str, to: str | None, timeout: float | None, *, strict: bool, as_json: bool
) -> None:
    """Tell how far a batch is until it has ended; exit code 5 unless it completed."""
    destination = aim_at(to, word)
    target = targets.target_of_url(destination.base_url)
    seconds = float(target.poll_seconds) if target is not None else _POLL_SECONDS

    async def work(remote: Remote) -> dict[str, Any] | None:
        try:
            return await asyncio.wait_for(_watch(remote, word, seconds), timeout)
        except TimeoutError:
            return None

    found = talk(destination, work)
    if found is None:
        click.echo("It has not ended.", err=True)
        sys.exit(_NOT_YET)
    _tell(found, as_json=as_json)
    if found["status"] != "completed":
        sys.exit(_ENDED_BADLY)
    if strict and found["request_counts"]["failed"]:
        sys.exit(_INCOMPLETE)


def cancel_batch(word: str, to: str | None, *, as_json: bool) -> None:
    """Ask for a batch to be cancelled; exit code 7 while it has not ended."""

    async def work(remote: Remote) -> dict[str, Any]:
        id = str((await finding.find_batch(remote, word, state_here()))["id"])
        await remote.cancel(id)
        return await remote.batch(id)

    found = talk(aim_at(to, word), work)
    _tell(found, as_json=as_json)
    if found["status"] not in provider.ENDED:
        click.echo(f"To see the end: batchyard watch {found['id']}", err=True)
        sys.exit(_NOT_YET)


async def _watch(remote: Remote, word: str, seconds: float) -> dict[str, Any]:
    found = await finding.find_batch(remote, word, state_here())
    id, told, faults, pause = str(found["id"]), "", 0, min(1.0, seconds)
    while True:
        counts = found["request_counts"]
        line = f"{id} {found['status']}: {counts['completed']:,}/{counts['total']:,}"
        line += f", {counts['failed']:,} failed" if counts["failed"] else ""
        if line != told:
            click.echo(line, err=True)
            told = line
        if found["status"] in provider.ENDED:
            return found
        await asyncio.sleep(pause)
        pause = min(seconds, pause * 1.5)
        try:
            found, faults = await remote.batch(id), 0
        except provider.ProviderError as error:
            faults += 1
            if not error.transient or faults >= _FAULTS_MAX:
                raise


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(found)
        return
    counts = found["request_counts"]
    click.echo(
        f"{found['id']} {found['status']}: {counts['completed']:,} succeeded, "
        f"{counts['failed']:,} failed, of {counts['total']:,}"
    )
