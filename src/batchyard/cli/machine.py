"""The store of a server, opened beside it on its own machine."""

from pathlib import Path

import click

from batchyard.config import SettingsError, read_settings
from batchyard.places.folder import DataFolder
from batchyard.places.store import Identity, Store, open_store

__all__ = ["folder_of", "identity_of", "store_of"]


def folder_of(data: str | None, *, make: bool = False) -> DataFolder:
    """The data folder of this name, by default that of the settings."""
    try:
        folder = DataFolder(Path(read_settings(None, {"data": data}).data))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    if make:
        folder.make()
    elif not folder.exists:
        raise click.ClickException(f"There is no Batchyard data in {folder.path}.")
    return folder


def store_of(data: str | None, *, make: bool = False) -> Store:
    """The store in this data folder."""
    return open_store(folder_of(data, make=make).database_url)


def identity_of(data: str | None, *, make: bool = False) -> Identity:
    """The projects and keys in this data folder."""
    return Identity(store_of(data, make=make))
