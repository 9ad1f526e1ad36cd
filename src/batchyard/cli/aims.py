"""Where a verb goes: `--to`, profiles, and what was submitted last."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard.client.apis import profiles as api_profiles
    from batchyard.client.apis import recent
    from batchyard.client.campaigns import sharing

if TYPE_CHECKING:
    from batchyard.client.apis.profiles import Destination, Profiles


__all__ = [
    "TO",
    "WHAT",
    "aim",
    "aim_at",
    "aim_for",
    "later",
    "note_last",
    "profiles_here",
    "state_here",
]


_NO_ACCESS = 4


def later(name: str) -> Callable[..., Any]:
    """A completer that is loaded when the shell asks for it; `--help` is quicker without."""

    def complete(*asked: Any) -> Any:
        return getattr(importlib.import_module("batchyard.cli.completing"), name)(*asked)

    return complete


TO = click.option(
    "--to",
    metavar="NAME|URL",
    shell_complete=later("profile_names"),
    help="Where to: a profile of `batchyard config`, openai, azure, local, or a base URL; "
    "OPENAI_BASE_URL unless given, then the profile in use.",
)
WHAT = click.argument("what", metavar="DIR|BATCH", shell_complete=later("batches_or_campaigns"))


def aim(to: str | None) -> Destination:
    """Where `--to` leads."""
    try:
        return api_profiles.destination_of(to, os.environ, profiles_here())
    except api_profiles.UnusableKeyError as error:
        _end_without_access(error)
    except api_profiles.ProfileError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error


def aim_for(base_url: str, name: str = "") -> Destination:
    """A base URL that is known already, with the key for it; that of the profile called `name`."""
    profiles = profiles_here()
    try:
        if name in profiles.known():
            found = api_profiles.destination_of(name, os.environ, profiles)
            if found.base_url == base_url:
                return found
        return api_profiles.destination_for(base_url, os.environ, profiles)
    except api_profiles.UnusableKeyError as error:
        _end_without_access(error)
    except api_profiles.ProfileError as error:
        raise click.ClickException(str(error)) from error


def _end_without_access(error: Exception) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(_NO_ACCESS)


def profiles_here() -> Profiles:
    """The user's profiles."""
    try:
        return api_profiles.read_profiles(api_profiles.config_file(os.environ))
    except api_profiles.ProfileError as error:
        raise click.ClickException(str(error)) from error


def state_here() -> Path:
    """The user's state folder."""
    return api_profiles.state_folder(os.environ)


def note_last(*, folder: Path | None = None, batch_id: str | None = None, url: str = "") -> None:
    """Note what was submitted, for `@last`."""
    where = None
    if folder is not None:
        where = sharing.url_of(folder) or str(folder.resolve())
    recent.remember(
        state_here(), recent.Recent(folder=where, batch_id=batch_id, base_url=url or None)
    )


def aim_at(to: str | None, word: str) -> Destination:
    """Where a batch is: `@last` knows it, unless `--to` says so."""
    last = recent.recall(state_here()) if word == recent.LAST and to is None else None
    return aim_for(last.base_url) if last is not None and last.base_url else aim(to)
