"""`batchyard webhooks`: who is told of batches, what became of it, and telling again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import folder_of, store_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    from batchyard.places import bell, store

if TYPE_CHECKING:
    from batchyard.places.store.outbox import DeliveryRow


__all__ = ["webhooks"]

_STATES = ("pending", "sending", "delivered", "given_up")
_REPLAYED_MAX = 10_000
_data = click.option("--data", metavar="DIR", help="The server's data folder.")


@click.group()
def webhooks() -> None:
    """List endpoints and deliveries, and deliver again; works while the server runs."""


@webhooks.command(name="list")
@_data
@AS_JSON
def list_(*, data: str | None, as_json: bool) -> None:
    """List the endpoints of all projects, without their secrets."""
    for one in store.Webhooks(store_of(data)).every():
        state = "enabled" if one.disabled_at is None else f"disabled ({one.disabled_because})"
        if as_json:
            told = {"id": one.id, "name": one.name, "url": _place(one.url)}
            tell_json(told | {"state": state, "event_types": one.event_types})
            continue
        click.echo(
            f"{one.id}  {_shown(one.name)}  {_place(one.url)}  {state}  {','.join(one.event_types)}"
        )


@webhooks.command()
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="At most so many; 50.")
@_data
@AS_JSON
def deliveries(*, state: str | None, limit: int, data: str | None, as_json: bool) -> None:
    """Show the newest deliveries, newest first."""
    for one in store.Outbox(store_of(data)).log(state=state, limit=limit):
        if as_json:
            tell_json(one)
        else:
            click.echo(_line(one))


@webhooks.command(short_help="Deliver again, now.")
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--given-up", is_flag=True, help="Also all that were given up.")
@_data
@AS_JSON
def replay(*, ids: tuple[str, ...], given_up: bool, data: str | None, as_json: bool) -> None:
    """Deliver again, now: deliveries by their own ids, or by those of their batches."""
    if not ids and not given_up:
        raise click.UsageError("Name deliveries or batches, or use --given-up.")
    outbox = store.Outbox(store_of(data))
    if given_up:
        ids += tuple(one.id for one in outbox.log(state="given_up", limit=_REPLAYED_MAX))
    count = outbox.replay(ids, time.time())
    if ids and not count:
        raise click.ClickException(
            "There is no such delivery to an endpoint that is there and enabled; see "
            "`batchyard webhooks deliveries`."
        )
    runs = bell.ring_at(folder_of(data).bell)
    when = "now" if runs else "when the server runs"
    if as_json:
        tell_json({"count": count, "when": when})
    else:
        click.echo(f"{count} to be delivered again, {when}")


def _line(one: DeliveryRow) -> str:
    tried = f"attempts {one.attempts}"
    if one.attempted_at is not None:
        tried += f", last {_moment(one.attempted_at)}"
    if one.due_at is not None:
        tried += f", next {_moment(one.due_at)}"
    outcome = "" if one.status_code is None else f"  status {one.status_code}"
    fault = "" if one.fault is None else f"  {_shown(one.fault)}"
    return (
        f"{one.id}  {one.type}  {one.batch_id}  {one.endpoint_id}  {one.state}  {tried}"
        f"{outcome}{fault}"
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _place(url: str) -> str:
    # The query may be the receiver's password.
    place, mark, _ = _shown(url).partition("?")
    return place + ("?..." if mark else "")


def _shown(text: str) -> str:
    """Text of a client's, without what a terminal would obey."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
