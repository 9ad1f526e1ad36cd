"""`batchyard keys`: who may use the server, managed on its machine."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import identity_of
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.server.scopes import SCOPES

with lazily():
    import secrets

    import msgspec

    from batchyard.server import keys as server_keys

if TYPE_CHECKING:
    from batchyard.places.store import Identity
    from batchyard.places.store.rows import KeyRow


__all__ = ["keys"]

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_data = click.option("--data", metavar="DIR", help="The server's data folder.")


class _Lifetime(click.ParamType[int]):
    """A time such as 90m, 12h or 30d, in seconds."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", value)
        if found is None:
            self.fail("give a number with s, m, h or d, such as 30d", param, ctx)
        return int(found[1]) * _UNIT_SECONDS[found[2]]


@click.group()
def keys() -> None:
    """Create, list and revoke API keys; works while the server runs."""


@keys.command(short_help="Create a key and print its secret.")
@click.argument("name")
@click.option("--project", metavar="P", help="The project it opens: id or name; else `default`.")
@click.option(
    "--scopes",
    "scopes",
    metavar="SCOPE,...",
    help=f"All that it may do, unless it may do everything: {', '.join(SCOPES)}.",
)
@click.option("--expires", "seconds", type=_Lifetime(), help="Until when it lives, such as 30d.")
@_data
@AS_JSON
def create(
    *,
    name: str,
    project: str | None,
    scopes: str | None,
    seconds: int | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Create a key called NAME and print its secret, which is shown only now."""
    identity = identity_of(data, make=True)
    chance = secrets.SystemRandom()
    secret, now = server_keys.new_secret(chance), int(time.time())
    key = server_keys.key_of(
        secret,
        name,
        chance,
        now,
        project_id=_project_id(identity, project),
        scopes=_scopes(scopes),
        expires_at=None if seconds is None else now + seconds,
    )
    identity.add_key(key, server_keys.hash_secret(secret))
    if as_json:
        tell_json({"secret": secret} | msgspec.structs.asdict(key))
    else:
        click.echo(secret)


@keys.command(name="list")
@_data
@AS_JSON
def list_(*, data: str | None, as_json: bool) -> None:
    """List all keys, without their secrets."""
    identity, now = identity_of(data), int(time.time())
    names = {project.id: project.name for project in identity.all_projects()}
    for key in identity.all_keys():
        if as_json:
            tell_json(msgspec.structs.asdict(key) | {"state": _state(key, now)})
            continue
        scopes = "all" if key.scopes is None else ",".join(key.scopes)
        click.echo(
            f"{key.id}  {key.hint}  {_moment(key.created_at)}  {_state(key, now):8}  {key.name}  "
            f"project {names.get(key.project_id, key.project_id)}  scopes {scopes}  "
            f"expires {_moment(key.expires_at)}  used {_moment(key.last_used_at)}"
        )


@keys.command(short_help="Revoke a key, by its id or name.")
@click.argument("key")
@_data
@AS_JSON
def revoke(*, key: str, data: str | None, as_json: bool) -> None:
    """Revoke the key of this id or name; it is refused from the next second on.

    A name that several keys have revokes none of them: say the id.
    """
    found = identity_of(data).revoke_key(key, int(time.time()))
    if not found:
        raise click.ClickException(f"There is no active key '{key}'; see `batchyard keys list`.")
    if len(found) > 1:
        listed = "".join(
            f"\n  {one.id}  {one.hint}  created {_moment(one.created_at)}, "
            f"used {_moment(one.last_used_at)}"
            for one in found
        )
        raise click.ClickException(
            f"{len(found)} active keys are called '{key}', and none was revoked. "
            f"Say which by its id: batchyard keys revoke ID{listed}"
        )
    click.echo(f"revoked {found[0].id} ({found[0].name})", err=True)
    if as_json:
        tell_json({"revoked": found[0].id})


def _project_id(identity: Identity, id_or_name: str | None) -> str:
    project = identity.project(id_or_name or server_keys.DEFAULT_PROJECT)
    if project is None or project.archived_at is not None:
        raise click.ClickException(
            f"There is no active project '{id_or_name or 'default'}'; see "
            "`batchyard projects list`."
        )
    return project.id


def _scopes(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    scopes = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    for one in scopes:
        if one not in SCOPES:
            raise click.ClickException(
                f"There is no scope '{one}'. There are: {', '.join(SCOPES)}."
            )
    return scopes


def _state(key: KeyRow, now: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _moment(seconds: int | None) -> str:
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
