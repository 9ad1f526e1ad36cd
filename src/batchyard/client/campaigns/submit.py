"""`batchyard.submit`: requests become a campaign, and its first batches."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchyard.client.apis.profiles import (
    Destination,
    config_file,
    destination_of,
    read_profiles,
)
from batchyard.client.apis.targets import target_of_url
from batchyard.client.campaigns.beginning import Source
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Settings
from batchyard.client.results.outcomes import Check
from batchyard.rules.limits import STRICT

__all__ = ["asubmit", "begin", "folder_of", "settings_at", "settings_for", "submit"]

# How often a server is looked at of which nothing is known; it is nobody's but one's own.
_POLL_SECONDS = 10.0


def submit(
    source: Source,
    folder: str | os.PathLike[str] | None = None,
    *,
    to: str | None = None,
    key: str | None = None,
    check: Check | None = None,
    **settings: Any,
) -> Campaign:
    """Submit what the queue has room for; `.run()` of the campaign goes on to the end.

    `source` is a batch file, or requests: those of `batchyard.build`, dicts, or lines. `folder`
    is where the campaign lives, also a URL (`s3://...`); beside a file it is IN.campaign. The same
    folder again is the same campaign: nothing is submitted twice. `to` is a profile of
    `batchyard config`, `openai`, `azure`, `groq`, ... or a URL; OPENAI_BASE_URL unless given. `key`
    is that of the profile, or OPENAI_API_KEY, unless given. `settings` are the fields
    of `batchyard.Settings`.
    """
    campaign = begin(source, folder, to=to, key=key, check=check, **settings)
    campaign.run(until="submitted")
    return campaign


async def asubmit(
    source: Source,
    folder: str | os.PathLike[str] | None = None,
    *,
    to: str | None = None,
    key: str | None = None,
    check: Check | None = None,
    **settings: Any,
) -> Campaign:
    """The same for async code."""
    campaign = begin(source, folder, to=to, key=key, check=check, **settings)
    await campaign.arun(until="submitted")
    return campaign


def begin(
    source: Source,
    folder: str | os.PathLike[str] | None = None,
    *,
    to: str | None = None,
    key: str | None = None,
    check: Check | None = None,
    **settings: Any,
) -> Campaign:
    """The campaign that `submit` submits, with nothing sent yet."""
    destination = _destination(to, os.environ)
    asked = settings_at(destination, **settings)
    chosen = folder_of(source) if folder is None else folder
    return Campaign.prepare(chosen, source, asked, key or destination.key, check=check)


def settings_for(to: str | None, environment: Mapping[str, str], **changes: Any) -> Settings:
    """The settings for a profile, the name of a target, or a URL; ValueError for anything else.

    What a batch may hold is what the target's limits say, as far as the host tells the target.
    """
    return settings_at(_destination(to, environment), **changes)


def settings_at(destination: Destination, **changes: Any) -> Settings:
    """The same for what `to` has led to."""
    url = destination.base_url
    wanted: dict[str, Any] = {
        "base_url": url,
        "target": destination.name,
        "poll_seconds": _POLL_SECONDS,
    }
    target = target_of_url(url)
    limits = STRICT
    if target is not None:
        limits = target.limits
        wanted["enqueued_tokens_max"] = target.enqueued_tokens_max
        wanted["poll_seconds"] = float(target.poll_seconds)
        wanted["purpose"] = target.purpose
    wanted |= changes
    return Settings(**{"sizes": Sizes.of(limits, wanted.get("enqueued_tokens_max"))} | wanted)


def folder_of(source: Source) -> Path:
    """Where the campaign of a file lives; TypeError for what is no file."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError("Requests that are no file need a folder: submit(requests, 'my.campaign').")
    path = Path(source)
    return path.with_name(f"{path.stem}.campaign")


def _destination(to: str | None, environment: Mapping[str, str]) -> Destination:
    return destination_of(to, environment, read_profiles(config_file(environment)))
