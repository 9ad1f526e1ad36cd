"""`batchyard doctor`: whether all is well here and at the target, and what to do if not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from batchyard.cli.aims import TO, profiles_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, clean, tell_json

with lazily():
    import asyncio

    from batchyard import config
    from batchyard.client.apis import diagnosis, profiles


__all__ = ["doctor"]

_NO_ACCESS = 4
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@TO
@click.option("--offline", is_flag=True, help="Look at this machine only.")
@AS_JSON
def doctor(*, to: str | None, offline: bool, as_json: bool) -> None:
    """Look at this machine and at the target, and say what to do about what is not well.

    Exit code 4 where the key is refused, 1 where something else fails.
    """
    found = list(diagnosis.of_machine(os.environ, Path().absolute(), _server_folder()))
    if not offline:
        try:
            destination = profiles.destination_of(to, os.environ, profiles_here())
        except profiles.UnusableKeyError as error:
            found.append(diagnosis.Finding("key", "fail", str(error), "See: batchyard config show"))
        except (profiles.ProfileError, click.ClickException) as error:
            fix = "See: batchyard config show"
            found.append(diagnosis.Finding("target", "fail", str(error), fix))
        else:
            found += asyncio.run(diagnosis.of_target(destination, os.environ))
    for one in found:
        _show(one, as_json=as_json)
    failed = [one.name for one in found if one.level == "fail"]
    if failed:
        sys.exit(_NO_ACCESS if failed == ["key"] else 1)


def _server_folder() -> Path:
    try:
        return Path(config.read_settings(None, {}).data).absolute()
    except config.SettingsError as error:
        click.echo(f"batchyard.toml: {error}", err=True)
        return Path("batchyard-data").absolute()


def _show(one: diagnosis.Finding, *, as_json: bool) -> None:
    if as_json:
        tell_json({"name": one.name, "level": one.level, "found": one.found, "fix": one.fix})
        return
    click.echo(
        f"{click.style(f'{one.level:4}', fg=_COLORS[one.level])}  {one.name}: {clean(one.found)}"
    )
    if one.fix:
        click.echo(f"      {one.fix}")
