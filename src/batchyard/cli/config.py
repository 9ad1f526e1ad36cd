"""`batchyard config`: Batch APIs by name, and where their keys are found."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.aims import later, profiles_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    import msgspec

    from batchyard.client.apis import profiles as api_profiles
    from batchyard.places import request_head

if TYPE_CHECKING:
    from batchyard.client.apis.profiles import Profiles


__all__ = ["config"]

_name = click.argument("name", shell_complete=later("profile_names"))


@click.group()
def config() -> None:
    """Name the Batch APIs that you use, for `--to NAME`."""


@config.command()
@AS_JSON
def show(*, as_json: bool) -> None:
    """Show all profiles and where their keys come from; never a key."""
    profiles = _read()
    for name, one in profiles.known().items():
        used, own = profiles.use == name, name in profiles.profile
        has_key = _has_key(one)
        if as_json:
            told = {"name": name, "url": one.url, "key_from": one.key_from, "has_key": has_key}
            tell_json(told | {"used": used, "own": own})
            continue
        mark = "*" if used else " "
        lack = "" if has_key else " (none there)"
        click.echo(f"{mark} {name:12}  {one.url:40}  key from {one.key_from}{lack}")
    if os.environ.get("OPENAI_BASE_URL"):
        url = os.environ["OPENAI_BASE_URL"]
        click.echo(f"OPENAI_BASE_URL comes before the profile in use: {url}", err=True)


@config.command(name="set")
@_name
@click.option("--url", metavar="URL", help="Base URL, usually ending in /v1.")
@click.option("--key-env", metavar="VARIABLE", help="The key stands in this variable.")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The key stands in this file.",
)
@click.option("--keep-key", is_flag=True, help="Ask for the key, or read it from stdin; keep it.")
@AS_JSON
def set_(
    *,
    name: str,
    url: str | None,
    key_env: str | None,
    key_file: Path | None,
    keep_key: bool,
    as_json: bool,
) -> None:
    """Add or change the profile NAME; its key stays where it is unless you ask to keep it.

    Without any word of a key, that is the environment's OPENAI_API_KEY.
    """
    if sum((key_env is not None, key_file is not None, keep_key)) > 1:
        raise click.UsageError("Give one of --key-env, --key-file and --keep-key.")
    profiles = _read()
    before = profiles.known().get(name)
    if url is None and before is None:
        raise click.UsageError("A new profile needs --url.")
    profile = before or api_profiles.Profile(url="", key_env="OPENAI_API_KEY")
    if key_env is not None or key_file is not None or keep_key:
        profile = api_profiles.Profile(
            url=profile.url,
            key_env=key_env,
            key_file=str(key_file.expanduser().absolute()) if key_file else None,
            key=_asked_key() if keep_key else None,
        )
    if url is not None:
        profile = msgspec.structs.replace(profile, url=url)
    try:
        changed = profiles.with_(name, profile)
    except api_profiles.ProfileError as error:
        raise click.UsageError(str(error)) from error
    _write(changed)
    if as_json:
        tell_json({"name": name, "url": profile.url, "key_from": profile.key_from})
    click.echo(f"{name}: {profile.url}, key from {profile.key_from}", err=True)


@config.command()
@_name
@AS_JSON
def use(*, name: str, as_json: bool) -> None:
    """Use the profile NAME where no `--to` is given."""
    profiles = _read()
    if name not in profiles.known():
        raise click.ClickException(
            f"There is no profile '{name}'. There are: {', '.join(profiles.known())}."
        )
    _write(msgspec.structs.replace(profiles, use=name))
    if as_json:
        tell_json({"used": name})
    click.echo(f"{name} is used now", err=True)


@config.command(short_help="Forget a profile.")
@_name
@AS_JSON
def rm(*, name: str, as_json: bool) -> None:
    """Forget the profile NAME, and the key if it was kept there."""
    profiles = _read()
    if name not in profiles.profile:
        more = " It is built in." if name in api_profiles.BUILT_IN else ""
        raise click.ClickException(f"There is no profile '{name}' in {_path()}.{more}")
    _write(profiles.without(name))
    if as_json:
        tell_json({"forgotten": name})
    click.echo(f"{name} is forgotten", err=True)


@config.command()
@AS_JSON
def path(*, as_json: bool) -> None:
    """Print where the profiles are kept."""
    if as_json:
        tell_json({"path": str(_path()), "exists": _path().exists()})
    else:
        click.echo(_path())


def _path() -> Path:
    return api_profiles.config_file(os.environ)


def _read() -> Profiles:
    profiles = profiles_here()
    if any(one.key for one in profiles.profile.values()):
        mode = _path().stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            click.echo(f"Others can read {_path()}, which holds a key: chmod 600 it", err=True)
    return profiles


def _write(profiles: Profiles) -> None:
    try:
        api_profiles.write_profiles(_path(), profiles)
    except OSError as error:
        raise click.ClickException(f"{_path()} cannot be written: {error}") from error


def _asked_key() -> str:
    if sys.stdin.isatty():
        key = str(click.prompt("Key", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
    try:
        key = request_head.usable_key(key, "stdin")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not key:
        raise click.UsageError("There is no key on stdin.")
    return key


def _has_key(profile: api_profiles.Profile) -> bool:
    try:
        return profile.read_key(os.environ) is not None
    except api_profiles.ProfileError:
        return False
