"""`batchyard keys`: who may use the server, managed on its machine."""

import secrets
import time
from pathlib import Path

import click

from batchyard.config import SettingsError, read_settings
from batchyard.places.folder import DataFolder
from batchyard.places.store import Records, open_store
from batchyard.server.keys import hash_secret, key_of, new_secret

__all__ = ["keys"]

_data = click.option("--data", metavar="DIR", help="The server's data folder.")


@click.group()
def keys() -> None:
    """Create, list and revoke API keys; works while the server runs."""


@keys.command()
@click.argument("name")
@_data
def create(name: str, data: str | None) -> None:
    """Create a key called NAME and print its secret, which is shown only now."""
    records = _records(data, make=True)
    chance = secrets.SystemRandom()
    secret = new_secret(chance)
    records.add_key(key_of(secret, name, chance, int(time.time())), hash_secret(secret))
    click.echo(secret)


@keys.command(name="list")
@_data
def list_(data: str | None) -> None:
    """List all keys, without their secrets."""
    for key in _records(data).all_keys():
        created = time.strftime("%Y-%m-%d %H:%M", time.gmtime(key.created_at))
        state = "revoked" if key.revoked_at is not None else "active"
        click.echo(f"{key.id}  {key.hint}  {created}  {state:8} {key.name}")


@keys.command()
@click.argument("key")
@_data
def revoke(key: str, data: str | None) -> None:
    """Revoke the key of this id or name; it is refused from the next second on."""
    if not _records(data).revoke_key(key, int(time.time())):
        raise click.ClickException(f"There is no active key '{key}'; see `batchyard keys list`.")
    click.echo(f"revoked {key}", err=True)


def _records(data: str | None, *, make: bool = False) -> Records:
    try:
        folder = DataFolder(Path(read_settings(None, {"data": data}).data))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    if make:
        folder.make()
    elif not folder.exists:
        raise click.ClickException(f"There is no Batchyard data in {folder.path}.")
    return Records(open_store(folder.database_url))
