"""`batchyard quota`: how many tokens may be enqueued, and who holds them."""

from __future__ import annotations

import time

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import identity_of, store_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    import msgspec

    from batchyard.places import store
    from batchyard.rules import quota as quota_rules
    from batchyard.server import keys


__all__ = ["quota"]

_data = click.option("--data", metavar="DIR", help="The server's data folder.")
_project = click.option(
    "--project", metavar="PROJECT", help="Id or name of a project; the default one unless given."
)


@click.group(invoke_without_command=True)
@_project
@_data
@AS_JSON
@click.pass_context
def quota(ctx: click.Context, *, project: str | None, data: str | None, as_json: bool) -> None:
    """Show for each model the limit, what is used, what is free, and which batches hold it."""
    if ctx.invoked_subcommand is not None:
        return
    records, id = store.Records(store_of(data)), _project_id(project, data)
    limits, found = records.limits(id), records.headroom(id)
    if as_json:
        for one in found:
            tell_json({"used": one.used} | msgspec.structs.asdict(one))
        return
    if not limits and not found:
        click.echo("No quota is set, and no batch holds tokens.", err=True)
    if "*" in limits:
        click.echo(f"every other model: limit {_number(limits['*'])}")
    for one in found:
        free = quota_rules.free_tokens(one.limit, one.used)
        click.echo(
            f"{one.model}: limit {_number(one.limit)}, used {one.used:,}, free {_number(free)}"
        )
        for verb, holders in (("held by", one.holders), ("awaited by", one.waiting)):
            for holder in holders:
                click.echo(f"  {holder.tokens:>15,} {verb} {holder.batch_id}")


@quota.command(name="set")
@click.argument("model")
@click.argument("tokens")
@_project
@_data
@AS_JSON
def set_(*, model: str, tokens: str, project: str | None, data: str | None, as_json: bool) -> None:
    """Let TOKENS input tokens of MODEL be enqueued at once.

    MODEL may be '*' for all models without a limit of their own. TOKENS may be `none` for no
    limit, and `default` for that of '*'. Batches that wait and now fit go on; a running server
    takes them up within a third of its `lease_seconds`.
    """
    records, id, now = store.Records(store_of(data)), _project_id(project, data), int(time.time())
    if tokens == "default":
        admitted = records.unset_limit(id, model, now)
    elif tokens == "none":
        admitted = records.set_limit(id, model, None, now)
    elif tokens.replace("_", "").isdecimal() and int(tokens) < 2**53:
        admitted = records.set_limit(id, model, int(tokens), now)
    else:
        raise click.ClickException(f"'{tokens}': give a whole number, `none` or `default`.")
    if as_json:
        tell_json({"model": model, "goes_on": admitted})
        return
    for batch_id in admitted:
        click.echo(f"goes on: {batch_id}")


def _project_id(project: str | None, data: str | None) -> str:
    if project in (None, keys.DEFAULT_PROJECT):
        return keys.DEFAULT_PROJECT
    found = identity_of(data).project(str(project))
    if found is None:
        raise click.ClickException(
            f"There is no project '{project}'; see `batchyard projects list`."
        )
    return found.id


def _number(tokens: int | None) -> str:
    return "none" if tokens is None else f"{tokens:,}"
