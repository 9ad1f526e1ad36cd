"""`batchyard gc`: what nothing needs any more, told or deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.machine import folder_of
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    from batchyard.places import blobs as blob_files
    from batchyard.places import clock, database, log
    from batchyard.places import folder as folders
    from batchyard.places import store as stores
    from batchyard.server import upkeep as upkeeping


__all__ = ["gc"]

# What no row names may be about to get one, as long as somebody has just written it.
_YOUNG_SECONDS = 3_600


class _Leftover(NamedTuple):
    """Blobs that can go, and why."""

    why: str
    name: str
    blobs: tuple[str, ...]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")
@click.option("--data", metavar="DIR", help="The server's data folder.")
@AS_JSON
def gc(*, dry_run: bool, data: str | None, as_json: bool) -> None:
    """Delete the bytes of deleted and expired files, of ended uploads, and left-overs.

    A server does that by itself; while one runs, this only tells what there is.
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
        records, blobs = stores.Records(store), blob_files.Blobs(folder.blobs)
        total_bytes = 0
        for one in _leftovers(records, blobs, serving=serving):
            size_bytes = sum(look[0] for look in map(blobs.look, one.blobs) if look)
            total_bytes += size_bytes
            if as_json:
                tell_json({"bytes": size_bytes, "why": one.why, "name": one.name})
            else:
                click.echo(f"{size_bytes:>15,} bytes  {one.why:13} {one.name}")
        if not (dry_run or serving):
            upkeep = upkeeping.Upkeep(records, blobs, database.Inline(), clock.system_clock())
            upkeep.sweep()
            upkeep.sweep_orphans()
    finally:
        store.close()
    verb = "can be deleted" if dry_run or serving else "deleted"
    click.echo(f"{total_bytes:>15,} bytes  {verb}", err=as_json)
    if serving and not dry_run:
        click.echo("A server runs on this folder and deletes them by itself.", err=True)


def _leftovers(
    records: stores.Records, blobs: blob_files.Blobs, *, serving: bool
) -> Iterator[_Leftover]:
    now = time.time()
    going: set[str] = set()
    for id, names in records.discarded(int(now)):
        going.update(names)
        yield _Leftover("file", id, names)
    for id, name in records.spare_parts(int(now)):
        going.add(name)
        yield _Leftover("upload part", id, (name,))
    named = records.named_blobs() | going
    for name in sorted(set(blobs.names()) - named):
        look = blobs.look(name)
        if look is not None and not (serving and look[1] > now - _YOUNG_SECONDS):
            yield _Leftover("left-over", name, (name,))
