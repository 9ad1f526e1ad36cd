"""Calls of a Batch API from a verb, and what their faults mean to the shell."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from batchyard.cli.aims import aim_for, later, state_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import clean

with lazily():
    import asyncio

    from batchyard.client.apis import finding, provider, recent
    from batchyard.client.apis import remote as remotes
    from batchyard.client.campaigns import sharing

if TYPE_CHECKING:
    from batchyard.client.apis.profiles import Destination


if TYPE_CHECKING:
    from batchyard.client.campaigns.campaign import Campaign

__all__ = ["DIR", "FOLDER", "batch_at", "campaign_meant", "fail", "key_of", "talk"]

_NO_ACCESS, _INTERRUPTED = 4, 130
T = TypeVar("T")


def key_of(campaign: Campaign) -> str | None:
    """The key for where a campaign was begun."""
    settings = campaign.manifest.settings
    return aim_for(settings.base_url, settings.target).key


def fail(error: provider.ProviderError, destination: Destination) -> NoReturn:
    """End the command with what a failed call means to the user."""
    click.echo(f"Error: {clean(error)}", err=True)
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


def talk(
    destination: Destination,
    work: Callable[[remotes.Remote], Awaitable[T]],
    *,
    purpose: str = "batch",
) -> T:
    """Do something at a Batch API; its faults end the command with what they mean."""

    async def within() -> T:
        remote = remotes.Remote(destination, purpose=purpose)
        try:
            return await work(remote)
        finally:
            await remote.aclose()

    try:
        return asyncio.run(within())
    except provider.ProviderError as error:
        fail(error, destination)
    except finding.UnclearError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nStopped. What is at the server goes on.", err=True)
        sys.exit(_INTERRUPTED)


def campaign_meant(word: str, *, whole: bool = False) -> Path | None:
    """The folder of the campaign that a word means; None where it means a batch or a file.

    Of one at a URL, its working folder; with `whole`, with all of its files in it.
    """
    last = recent.recall(state_here()) if word == "@last" else None
    url = last.folder if last is not None else word
    if sharing.is_url(url):
        assert url is not None
        return _at(url, whole=whole)
    path = Path(word)
    if path.is_dir():
        return _held(path)
    if ("/" in word or word.endswith(".campaign")) and not path.exists():
        raise click.ClickException(f"There is no campaign {word}; see `batchyard ls --here`.")
    try:
        found = finding.find_folder(word, state_here(), Path())
    except finding.UnclearError as error:
        raise click.ClickException(str(error)) from error
    return found and _held(found)


def _at(url: str, *, whole: bool) -> Path:
    folder = _held(sharing.folder_at(url))
    return sharing.brought(folder) if whole else folder


def _held(folder: Path) -> Path:
    if not (folder / "campaign.json").exists():
        raise click.ClickException(
            f"{sharing.place_of(folder)} holds no campaign; `batchyard submit` begins one."
        )
    return folder


def _folder(_ctx: click.Context, _param: click.Parameter, word: str) -> Path:
    folder = campaign_meant(word)
    if folder is None:
        raise click.BadParameter(f"'{word}' is no campaign; see `batchyard ls --here`.")
    return folder


class _Folder(click.Path):
    """A folder of this machine, or the URL of one."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if sharing.is_url(value) else super().convert(value, param, ctx)


FOLDER = _Folder(file_okay=False, path_type=Path)
DIR = click.argument(
    "folder", metavar="DIR", callback=_folder, shell_complete=later("batches_or_campaigns")
)


def batch_at(destination: Destination, word: str) -> dict[str, Any]:
    """The batch that a word means."""
    return talk(destination, lambda remote: finding.find_batch(remote, word, state_here()))
