"""What a shell completes beyond verbs and options: batches, campaigns and profiles."""

import asyncio
import os
import time
from pathlib import Path
from typing import Literal

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

__all__ = [
    "batches_or_campaigns",
    "campaigns",
    "file_ids",
    "files_or_campaigns",
    "profile_names",
]

_FRESH_SECONDS = 30.0
# Who presses TAB does not wait for long.
_PATIENCE_SECONDS = 2.0
_LISTED_MAX = 100


_Asked = Literal["batches", "files"]


class _Seen(Struct):
    base_url: str
    at: float
    found: dict[str, str]


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
    found = campaigns(ctx, _param, incomplete)
    if len(found) < 2 or incomplete.startswith("b"):
        found += _beginning(_known("batches", ctx.params.get("to")), incomplete)
    return found


def campaigns(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Campaigns here, and `@last`."""
    folders = {str(one): "campaign" for one in campaigns_below(Path())}
    return _beginning({LAST: "submitted last"} | folders, incomplete)


def files_or_campaigns(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Campaigns here, and `@last`; files where the word is none of these."""
    found = campaigns(ctx, param, incomplete) if incomplete else []
    return found or [CompletionItem(incomplete, type="file")]


def file_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest files at the target."""
    return _beginning(_known("files", ctx.params.get("to")), incomplete)


def _beginning(found: dict[str, str], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(word, help=told)
        for word, told in found.items()
        if word.startswith(incomplete)
    ]


def _known(asked: _Asked, to: str | None) -> dict[str, str]:
    """The newest there, and what they are; kept for some seconds, none where none can be had."""
    try:
        destination = destination_of(to, os.environ, read_profiles(config_file(os.environ)))
    except ProfileError:
        return {}
    kept = state_folder(os.environ) / f"{asked}.json"
    now = time.time()
    try:
        seen = msgspec.json.decode(kept.read_bytes(), type=_Seen)
        if seen.base_url == destination.base_url and 0 <= now - seen.at < _FRESH_SECONDS:
            return seen.found
    except (OSError, msgspec.DecodeError):
        pass
    try:
        found = asyncio.run(asyncio.wait_for(_ask(asked, destination), _PATIENCE_SECONDS))
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        publish(kept, msgspec.json.encode(_Seen(destination.base_url, now, found)))
    except (ProviderError, OSError, TimeoutError):
        return {}
    return found


async def _ask(asked: _Asked, destination: Destination) -> dict[str, str]:
    remote = Remote(destination, timeout_seconds=_PATIENCE_SECONDS)
    try:
        if asked == "files":
            files = remote.newest_files(_LISTED_MAX, None)
            return {str(one["id"]): str(one.get("filename")) async for one in files}
        return {str(one["id"]): one["status"] async for one in remote.newest_batches(_LISTED_MAX)}
    finally:
        await remote.aclose()
