"""`batchyard serve --check`: settings, data folder and upstreams, before they matter."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import click

from batchyard.cli.serve_here import chosen_upstreams, own_address
from batchyard.cli.upstreams import described
from batchyard.config import Settings, SettingsError, read_settings
from batchyard.places.clock import system_clock
from batchyard.places.upstreams import Upstreams, open_upstreams

__all__ = ["check"]

_INVALID = 3


def check(config: Path | None, given: Mapping[str, object], urls: Sequence[str]) -> int:
    """Tell all that is found; returns the exit code, which is 3 where a server would not do."""
    try:
        settings = read_settings(config, given)
    except SettingsError as error:
        click.echo(str(error))
        return _INVALID
    click.echo("settings: ok")
    faults = [_folder_fault(Path(settings.data).absolute())]
    try:
        faults += asyncio.run(_upstream_faults(settings, urls))
    except click.ClickException as error:
        faults.append(error.message)
    found = [fault for fault in faults if fault is not None]
    for fault in found:
        click.echo(f"wrong: {fault}")
    return _INVALID if found else 0


def _folder_fault(folder: Path) -> str | None:
    """Why the data folder cannot be used, or made where there is none yet."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"data folder {folder}: {place} is no folder"
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return f"data folder {folder}: {place} cannot be written"
    click.echo(f"data folder: {folder}" + ("" if place == folder else ", to be made"))
    return None


async def _upstream_faults(settings: Settings, urls: Sequence[str]) -> list[str]:
    """What is wrong with the upstreams; tells of the others what they serve."""
    async with chosen_upstreams(settings, urls) as chosen:
        try:
            opened = open_upstreams(chosen.upstream)
        except ValueError as error:
            return str(error).splitlines()
        async with aclosing(Upstreams(opened, system_clock().steady)) as upstreams:
            await upstreams.look()
        faults = []
        for one in opened:
            if own_address(settings, settings.port, one.url):
                faults.append(f"upstream {one.name}: this is the address of the server itself")
            elif one.reachable:
                click.echo(described(one))
            else:
                faults.append(described(one))
        return faults
