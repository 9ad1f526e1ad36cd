"""The Batch API that a verb talks to: `--to`, the key, and what its faults mean to the shell."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from batchyard.client.campaign import Campaign
from batchyard.client.finding import UnclearError, find_batch, find_folder
from batchyard.client.profiles import (
    Destination,
    ProfileError,
    Profiles,
    config_file,
    destination_for,
    destination_of,
    read_profiles,
    state_folder,
)
from batchyard.client.provider import ProviderError
from batchyard.client.recent import LAST, Recent, recall, remember
from batchyard.client.remote import Remote

__all__ = [
    "TO",
    "aim",
    "aim_at",
    "aim_for",
    "batch_at",
    "campaign_meant",
    "fail",
    "key_of",
    "note_last",
    "profiles_here",
    "state_here",
    "talk",
]

_NO_ACCESS, _INTERRUPTED = 4, 130
T = TypeVar("T")

TO = click.option(
    "--to",
    metavar="NAME|URL",
    help="Where to: a profile of `batchyard config`, openai, azure, local, or a base URL; "
    "OPENAI_BASE_URL unless given, then the profile in use.",
)


def aim(to: str | None) -> Destination:
    """Where `--to` leads."""
    try:
        return destination_of(to, os.environ, profiles_here())
    except ProfileError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error


def aim_for(base_url: str, name: str = "") -> Destination:
    """A base URL that is known already, with the key for it; that of the profile called `name`."""
    profiles = profiles_here()
    try:
        if name in profiles.known():
            found = destination_of(name, os.environ, profiles)
            if found.base_url == base_url:
                return found
        return destination_for(base_url, os.environ, profiles)
    except ProfileError as error:
        raise click.ClickException(str(error)) from error


def key_of(campaign: Campaign) -> str | None:
    """The key for where a campaign was begun."""
    settings = campaign.manifest.settings
    return aim_for(settings.base_url, settings.target).key


def profiles_here() -> Profiles:
    """The user's profiles."""
    try:
        return read_profiles(config_file(os.environ))
    except ProfileError as error:
        raise click.ClickException(str(error)) from error


def state_here() -> Path:
    """The user's state folder."""
    return state_folder(os.environ)


def note_last(*, folder: Path | None = None, batch_id: str | None = None, url: str = "") -> None:
    """Note what was submitted, for `@last`."""
    where = str(folder.resolve()) if folder is not None else None
    remember(state_here(), Recent(folder=where, batch_id=batch_id, base_url=url or None))


def fail(error: ProviderError, destination: Destination) -> NoReturn:
    """End the command with what a failed call means to the user."""
    click.echo(f"Error: {error}", err=True)
    if error.status in (401, 403):
        click.echo(
            f"The key for {destination.base_url} comes from {destination.key_from}"
            + ("" if destination.key else ", and there is none")
            + ". See: batchyard doctor",
            err=True,
        )
        sys.exit(_NO_ACCESS)
    if error.status == 0:
        click.echo(f"Asked: {destination.base_url}. See: batchyard doctor", err=True)
    sys.exit(1)


def talk(destination: Destination, work: Callable[[Remote], Awaitable[T]]) -> T:
    """Do something at a Batch API; its faults end the command with what they mean."""

    async def within() -> T:
        remote = Remote(destination)
        try:
            return await work(remote)
        finally:
            await remote.aclose()

    try:
        return asyncio.run(within())
    except ProviderError as error:
        fail(error, destination)
    except UnclearError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def campaign_meant(word: str) -> Path | None:
    """The folder of the campaign that a word means; None where it means a batch."""
    try:
        return find_folder(word, state_here(), Path())
    except UnclearError as error:
        raise click.ClickException(str(error)) from error


def aim_at(to: str | None, word: str) -> Destination:
    """Where a batch is: `@last` knows it, unless `--to` says so."""
    last = recall(state_here()) if word == LAST and to is None else None
    return aim_for(last.base_url) if last is not None and last.base_url else aim(to)


def batch_at(destination: Destination, word: str) -> dict[str, Any]:
    """The batch that a word means."""
    return talk(destination, lambda remote: find_batch(remote, word, state_here()))
