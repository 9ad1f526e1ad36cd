"""`batchyard projects`: whose files and batches stand apart, managed on the server's machine."""

from __future__ import annotations

import time

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import identity_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    import secrets

    from batchyard.places import store

__all__ = ["PROFILE_NAMES", "SETTABLE_NAMES", "projects"]

# Written out, for what they stand for takes long to load; a test holds them to it.
PROFILE_NAMES = ("strict", "relaxed")
SETTABLE_NAMES = (
    "requests_max",
    "input_bytes_max",
    "embedding_inputs_max",
    "file_bytes_max",
    "batches_per_hour_max",
    "stored_bytes_max",
)

_data = click.option("--data", metavar="DIR", help="The server's data folder.")
_profile = click.option(
    "--profile",
    type=click.Choice([*PROFILE_NAMES, "default"]),
    help="What it is allowed; `default` is what the server's settings say.",
)
_limits = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=N",
    help=f"A limit of its own, or none with NAME=default: {', '.join(SETTABLE_NAMES)}.",
)


@click.group()
def projects() -> None:
    """Create, list, archive and set up projects; works while the server runs."""


@projects.command()
@click.argument("name")
@_profile
@_limits
@_data
@AS_JSON
def create(
    *, name: str, profile: str | None, limits: tuple[str, ...], data: str | None, as_json: bool
) -> None:
    """Create a project called NAME and print its id."""
    project = store.ProjectRow(
        id=f"proj_{secrets.token_hex(12)}",
        name=name,
        created_at=int(time.time()),
        profile=_profile_of(profile, None),
        limits=_limits_of(limits, None),
    )
    if not identity_of(data, make=True).add_project(project):
        raise click.ClickException(f"There is a project '{name}' already.")
    if as_json:
        tell_json(project)
    else:
        click.echo(project.id)


@projects.command(name="list")
@_data
@AS_JSON
def list_(*, data: str | None, as_json: bool) -> None:
    """List all projects."""
    for project in identity_of(data).all_projects():
        if as_json:
            tell_json(project)
            continue
        state = "active" if project.archived_at is None else "archived"
        own = " ".join(f"{name}={most}" for name, most in (project.limits or {}).items())
        profile = project.profile or "default"
        click.echo(f"{project.id}  {state:8}  {profile:8}  {project.name}  {own}".rstrip())


@projects.command(short_help="Close a project for good.")
@click.argument("project")
@_data
@AS_JSON
def archive(*, project: str, data: str | None, as_json: bool) -> None:
    """Close a project for good: its keys are refused, its batches still end, nothing is deleted."""
    if not identity_of(data).archive_project(project, int(time.time())):
        raise click.ClickException(_unknown(project))
    click.echo(f"archived {project}", err=True)
    if as_json:
        tell_json({"archived": project})


@projects.command(name="set")
@click.argument("project")
@_profile
@_limits
@_data
@AS_JSON
def set_(
    *, project: str, profile: str | None, limits: tuple[str, ...], data: str | None, as_json: bool
) -> None:
    """Say what a project is allowed; it holds within a second."""
    identity = identity_of(data)
    found = identity.project(project)
    if found is None:
        raise click.ClickException(_unknown(project))
    identity.set_project(
        found.id,
        profile=_profile_of(profile, found.profile),
        limits=_limits_of(limits, found.limits),
    )
    if as_json:
        tell_json(identity.project(found.id))


def _profile_of(given: str | None, before: str | None) -> str | None:
    if given is None:
        return before
    return None if given == "default" else given


def _limits_of(given: tuple[str, ...], before: dict[str, int] | None) -> dict[str, int] | None:
    limits = dict(before or {})
    for one in given:
        name, _, most = one.partition("=")
        if name not in SETTABLE_NAMES:
            raise click.ClickException(
                f"There is no limit '{name}'. There are: {', '.join(SETTABLE_NAMES)}."
            )
        if most == "default":
            limits.pop(name, None)
        elif most.isdecimal() and 0 < int(most) < 2**53:
            limits[name] = int(most)
        else:
            raise click.ClickException(f"'{one}': give a whole number above 0, or `default`.")
    return limits or None


def _unknown(project: str) -> str:
    return f"There is no active project '{project}'; see `batchyard projects list`."
