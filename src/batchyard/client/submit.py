"""`batchyard.submit`: requests become a campaign, and its first batches."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchyard.client.beginning import Source
from batchyard.client.campaign import Campaign
from batchyard.client.cutting import Sizes
from batchyard.client.outcomes import Check
from batchyard.client.settings import Settings
from batchyard.client.targets import TARGETS, target_of_url
from batchyard.places.request_head import BaseUrl
from batchyard.rules.limits import STRICT

__all__ = ["asubmit", "begin", "folder_of", "key_of", "settings_for", "submit"]

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
    is where the campaign lives; beside a file it is IN.campaign. The same folder again is the
    same campaign: nothing is submitted twice. `to` is `openai`, `groq`, ... or a URL;
    OPENAI_BASE_URL unless given. `key` is OPENAI_API_KEY unless given. `settings` are the fields
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
    asked = settings_for(to, os.environ, **settings)
    chosen = folder_of(source) if folder is None else Path(folder)
    key = key or key_of(os.environ)
    return Campaign.prepare(chosen, source, asked, key, check=check)


def settings_for(to: str | None, environment: Mapping[str, str], **changes: Any) -> Settings:
    """The settings for the name of a target or a URL; ValueError where `to` is neither.

    What a batch may hold is what the target's limits say, as far as the host tells the target.
    """
    url = to or environment.get("OPENAI_BASE_URL") or "openai"
    url = TARGETS[url].base_url if url in TARGETS else url
    if not url:
        raise ValueError(f"{to!r} has no URL that is the same for everybody; give yours.")
    BaseUrl.parse(url)
    wanted: dict[str, Any] = {"base_url": url, "poll_seconds": _POLL_SECONDS}
    target = target_of_url(url)
    limits = STRICT
    if target is not None:
        limits = target.limits
        wanted["enqueued_tokens_max"] = target.enqueued_tokens_max
        wanted["poll_seconds"] = float(target.poll_seconds)
        wanted["purpose"] = target.purpose
    wanted |= changes
    return Settings(**{"sizes": Sizes.of(limits, wanted.get("enqueued_tokens_max"))} | wanted)


def key_of(environment: Mapping[str, str]) -> str | None:
    """The key that the environment holds."""
    return environment.get("OPENAI_API_KEY") or environment.get("AZURE_OPENAI_API_KEY")


def folder_of(source: Source) -> Path:
    """Where the campaign of a file lives; TypeError for what is no file."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError("Requests that are no file need a folder: submit(requests, 'my.campaign').")
    path = Path(source)
    return path.with_name(f"{path.stem}.campaign")
