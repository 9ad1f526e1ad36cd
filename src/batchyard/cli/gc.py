"""`batchyard gc`: what nothing needs any more, told or deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import folder_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    import asyncio

    from batchyard.places import blobs as blob_files
    from batchyard.places import clock, database, log, worker_locks
    from batchyard.places import folder as folders
    from batchyard.places import store as stores
    from batchyard.server import installation as installations
    from batchyard.server import upkeep as upkeeping


__all__ = ["gc"]


class _Leftover(NamedTuple):
    """Blobs that can go, and why."""

    why: str
    name: str
    blobs: tuple[str, ...]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")
@click.option("--all", "even_much", is_flag=True, help="Also where many blobs have no row.")
@click.option("--data", metavar="DIR", help="The server's data folder.")
@AS_JSON
def gc(*, dry_run: bool, even_much: bool, data: str | None, as_json: bool) -> None:
    """Delete the bytes of deleted and expired files and of ended uploads, and move left-overs away.

    Left-overs are blobs that no row names; they stay in the folder blobs/trash for a day. Many of
    them look like a database that has lost rows, and stay where they are without --all.
    A server does all that by itself; while one runs, this only tells what there is.
    """
    log.to_stderr()
    folder = folder_of(data)
    try:
        folder.lock()
        serving = False
    except folders.FolderInUseError:
        serving = True
    store = stores.open_store(folder.database_url)
    try:
        _sweep(folder, store, dry_run=dry_run, serving=serving, even_much=even_much, json=as_json)
    finally:
        store.close()


def _sweep(
    folder: folders.DataFolder,
    store: stores.Store,
    *,
    dry_run: bool,
    serving: bool,
    even_much: bool,
    json: bool,
) -> None:
    records, blobs = stores.Records(store), blob_files.Blobs(folder.blobs)
    installation = installations.Installation(folder, store)
    if why := installation.objection():
        raise click.ClickException(str(installations.MismatchError(folder, why)))
    if not serving:
        _bury_the_dead(folder, store)
    unnamed = upkeeping.find_unnamed(records, blobs, time.time(), installation.living_workers)
    kept = unnamed.is_much and not even_much
    going = _leftovers(records, () if kept else unnamed.names)
    size_bytes = sum([_told(one, blobs, as_json=json) for one in going])
    if not (dry_run or serving):
        upkeep = upkeeping.Upkeep(
            records, blobs, database.Inline(), clock.system_clock(), installation=installation
        )
        asyncio.run(_swept(upkeep, even_much=even_much))
    verb = "can be deleted" if dry_run or serving else "deleted"
    click.echo(f"{size_bytes:>15,} bytes  {verb}", err=json)
    if kept:
        raise click.ClickException(
            f"{len(unnamed.names):,} of {unnamed.blobs:,} blobs have no row, and were left alone: "
            "that looks like a database that has lost rows. If this is the newest one, move them "
            "to the trash with `batchyard gc --all`."
        )
    if serving and not dry_run:
        click.echo("A server runs on this folder and deletes them by itself.", err=True)


async def _swept(upkeep: upkeeping.Upkeep, *, even_much: bool) -> None:
    await upkeep.sweep()
    await upkeep.sweep_unnamed(even_much=even_much)


def _bury_the_dead(folder: folders.DataFolder, store: stores.Store) -> None:
    """Free what workers held that are gone; those that live on go on."""
    living = worker_locks.WorkerLocks(folder.workers).living()
    work = stores.Work(store)
    for name in set(work.workers()) - {holder.worker for holder in living}:
        work.sign_off(name)
    for holder in living:
        click.echo(
            f"Process {holder.pid} is a worker of a server that is gone, and ends soon: what it "
            "writes is left alone.",
            err=True,
        )


def _told(one: _Leftover, blobs: blob_files.Blobs, *, as_json: bool) -> int:
    size_bytes = sum(look[0] for look in map(blobs.look, one.blobs) if look)
    if as_json:
        tell_json({"bytes": size_bytes, "why": one.why, "name": one.name})
    else:
        click.echo(f"{size_bytes:>15,} bytes  {one.why:13} {one.name}")
    return size_bytes


def _leftovers(records: stores.Records, unnamed: Sequence[str]) -> Iterator[_Leftover]:
    now = int(time.time())
    records.expire_uploads(now)
    for file in records.discarded(now):
        yield _Leftover("file", file.id, file.blobs)
    for id, name in records.spare_parts():
        yield _Leftover("upload part", id, (name,))
    for name in unnamed:
        yield _Leftover("left-over", name, (name,))
