"""What a shell completes beyond verbs and options: batches, campaigns and profiles."""

import asyncio
import os
import time
from pathlib import Path

import click
import msgspec
from click.shell_completion import CompletionItem
from msgspec import Struct

from batchyard.client.apis.finding import campaigns_below
from batchyard.client.apis.profiles import (
    Destination,
    ProfileError,
    config_file,
    destination_of,
    read_profiles,
    state_folder,
)
from batchyard.client.apis.provider import ProviderError
from batchyard.client.apis.recent import LAST
from batchyard.client.apis.remote import Remote
from batchyard.places.whole import publish

__all__ = ["batches_or_campaigns", "profile_names"]

_FRESH_SECONDS = 30.0
# Who presses TAB does not wait for long.
_PATIENCE_SECONDS = 2.0
_BATCHES_MAX = 100


class _Seen(Struct):
    base_url: str
    at: float
    batches: dict[str, str]


def profile_names(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Profiles, for `--to`."""
    try:
        known = read_profiles(config_file(os.environ)).known()
    except ProfileError:
        return []
    return [
        CompletionItem(name, help=one.url)
        for name, one in known.items()
        if name.startswith(incomplete)
    ]


def batches_or_campaigns(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Campaigns here, the newest batches at the target, and `@last`."""
    folders = [CompletionItem(str(one), help="campaign") for one in campaigns_below(Path())]
    found = [CompletionItem(LAST, help="submitted last"), *folders]
    if not folders or incomplete.startswith("b"):
        batches = _batches(ctx.params.get("to"))
        found += [CompletionItem(id, help=status) for id, status in batches.items()]
    return [one for one in found if str(one.value).startswith(incomplete)]


def _batches(to: str | None) -> dict[str, str]:
    """Newest batches and their statuses; kept for some seconds, none where none can be had."""
    try:
        destination = destination_of(to, os.environ, read_profiles(config_file(os.environ)))
    except ProfileError:
        return {}
    kept = state_folder(os.environ) / "batches.json"
    now = time.time()
    try:
        seen = msgspec.json.decode(kept.read_bytes(), type=_Seen)
        if seen.base_url == destination.base_url and 0 <= now - seen.at < _FRESH_SECONDS:
            return seen.batches
    except (OSError, msgspec.DecodeError):
        pass
    try:
        batches = asyncio.run(asyncio.wait_for(_ask(destination), _PATIENCE_SECONDS))
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        publish(kept, msgspec.json.encode(_Seen(destination.base_url, now, batches)))
    except (ProviderError, OSError, TimeoutError):
        return {}
    return batches


async def _ask(destination: Destination) -> dict[str, str]:
    remote = Remote(destination, timeout_seconds=_PATIENCE_SECONDS)
    try:
        return {str(one["id"]): one["status"] async for one in remote.newest_batches(_BATCHES_MAX)}
    finally:
        await remote.aclose()
