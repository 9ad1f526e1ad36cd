"""`batchyard files`: the files at a Batch API: list, upload, download, delete."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import TO, aim, later
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, clean, tell_json
from batchyard.cli.output import published
from batchyard.cli.progress import moving
from batchyard.cli.remote import talk

with lazily():
    import secrets

    from batchyard.client.apis import downloading, finding, persisting

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote


__all__ = ["files"]

_BYTES_MAX = 1 << 30
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def files() -> None:
    """List, upload, download and delete files at the target."""


@files.command()
@TO
@click.option("--purpose", metavar="PURPOSE", help="Only those of this purpose.")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most."
)
@AS_JSON
def ls(*, to: str | None, purpose: str | None, limit: int, as_json: bool) -> None:
    """List the newest files at the target."""

    async def work(remote: Remote) -> None:
        async for one in remote.newest_files(limit, purpose):
            _show(one, as_json=as_json)

    talk(aim(to), work)


@files.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@TO
@click.option("--purpose", default="batch", show_default=True, help="What it is for.")
@AS_JSON
def put(*, paths: tuple[Path, ...], to: str | None, purpose: str, as_json: bool) -> None:
    """Upload files and print their ids."""
    for path in paths:
        if path.stat().st_size > _BYTES_MAX:
            raise click.ClickException(f"{path} has more than 1 GB; batchyard split makes parts.")

    async def work(remote: Remote) -> None:
        for path in paths:
            name = path.name.replace('"', "_").replace("\n", "_").replace("\r", "_")
            key = f"put-{secrets.token_hex(16)}"
            try:
                with moving(clean(name)) as moved:
                    id = await persisting.persist(partial(remote.upload, path, key, name, moved))
            except OSError as error:
                raise click.ClickException(str(error)) from error
            if as_json:
                tell_json({"id": id, "file": str(path)})
            else:
                click.echo(id)

    talk(aim(to), work, purpose=purpose)


@files.command(short_help="Download a file.")
@click.argument("file", shell_complete=later("file_ids"))
@TO
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where it goes; what was cut short goes on there. Stdout unless given.",
)
@AS_JSON
def get(*, file: str, to: str | None, output: Path | None, as_json: bool) -> None:
    """Download FILE, an id or the beginning of one.

    With -o, a download that was cut short goes on where it was, when the same is called again.
    """
    if output is not None and output.exists():
        raise click.ClickException(f"{output} exists already; remove it or choose another -o.")

    async def work(remote: Remote) -> dict[str, Any]:
        found = await finding.find_file(remote, file)
        id = str(found["id"])
        if output is None:
            with published(None) as out:
                async for piece in remote.pieces(id):
                    out.write(piece)
            return {"id": id}
        with moving(str(output)) as moved:
            start, size = await downloading.download(remote, found, output, moved)
        return {"id": id, "file": str(output), "bytes": size, "resumed_from": start}

    told = talk(aim(to), work)
    if output is None:
        return
    if as_json:
        tell_json(told)
    more = f", {told['resumed_from']:,} of them were there" if told["resumed_from"] else ""
    click.echo(f"{output}: {told['bytes']:,} bytes{more}", err=True)


@files.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=later("file_ids"))
@TO
@AS_JSON
def rm(*, ids: tuple[str, ...], to: str | None, as_json: bool) -> None:
    """Delete files at the target, by their whole ids."""

    async def work(remote: Remote) -> None:
        for id in ids:
            await remote.delete_file(id)
            if as_json:
                tell_json({"deleted": id})
            else:
                click.echo(f"deleted {id}", err=True)

    talk(aim(to), work)


def _show(one: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(one)
        return
    moment = one.get("created_at")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else "-"
    click.echo(
        f"{one.get('id'):38}  {one.get('bytes') or 0:>15,}  {when}  {one.get('purpose')}  "
        f"{clean(one.get('filename'))}"
    )
