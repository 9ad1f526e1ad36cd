"""The store of a server, opened beside it on its own machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard import config
    from batchyard.places import folder as folders
    from batchyard.places import store
    from batchyard.server import installation

if TYPE_CHECKING:
    from batchyard.places.store import Store


__all__ = ["folder_of", "identity_of", "store_of"]


def folder_of(data: str | None, *, make: bool = False) -> folders.DataFolder:
    """The data folder of this name, by default that of the settings."""
    try:
        folder = folders.DataFolder(Path(config.read_settings(None, {"data": data}).data))
    except config.SettingsError as error:
        raise click.ClickException(str(error)) from error
    if not make and not folder.exists:
        raise click.ClickException(f"There is no Batchyard data in {folder.path}.")
    try:
        if make:
            folder.make()
        folder.shut()
        installation.check_database(folder)
    except OSError as error:
        raise click.ClickException(
            f"The data folder {folder.path} cannot be used: {error.strerror}."
        ) from error
    except installation.MismatchError as error:
        raise click.ClickException(str(error)) from error
    return folder


def store_of(data: str | None, *, make: bool = False) -> Store:
    """The store in this data folder."""
    return store.open_store(folder_of(data, make=make).database_url)


def identity_of(data: str | None, *, make: bool = False) -> store.Identity:
    """The projects and keys in this data folder."""
    return store.Identity(store_of(data, make=make))
