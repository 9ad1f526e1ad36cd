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


__all__ = ["folder_of", "identity_of", "store_of", "unusable"]


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
        raise click.ClickException(unusable(str(folder.path), error)) from error
    except installation.MismatchError as error:
        raise click.ClickException(str(error)) from error
    return folder


def store_of(data: str | None, *, make: bool = False) -> Store:
    """The store in this data folder."""
    return store.open_store(folder_of(data, make=make).database_url)


def identity_of(data: str | None, *, make: bool = False) -> store.Identity:
    """The projects and keys in this data folder."""
    return store.Identity(store_of(data, make=make))


def unusable(folder: str, error: OSError) -> str:
    """Why a data folder cannot be used, and what to do."""
    why = error.strerror or str(error)
    place = f" ({error.filename})" if error.filename and error.filename != folder else ""
    return f"The data folder {folder} cannot be used: {why}{place}. Choose another with --data."
