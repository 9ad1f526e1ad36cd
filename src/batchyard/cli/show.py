"""`batchyard show`: one request, or its result, as people read it."""

from __future__ import annotations

from pathlib import Path

import click

from batchyard.cli.aims import later
from batchyard.cli.lazily import lazily
from batchyard.cli.meant import folder_meant
from batchyard.cli.options import AS_JSON, of_fields

with lazily():
    from batchyard.client.examining import reading
    from batchyard.client.results import showing


__all__ = ["show"]


@click.command()
@click.argument("where", metavar="FILE|CAMPAIGN", shell_complete=later("files_or_campaigns"))
@click.argument("custom_id", metavar="CUSTOM_ID")
@AS_JSON
def show(*, where: str, custom_id: str, as_json: bool) -> None:
    """Show the request or the result with a custom_id, every line that has it.

    Of a campaign, both. With --json, the lines as they stand.
    """
    folder = folder_meant(where)
    if folder is None:
        paths = [Path(where)]
    else:
        beside = (folder / "input.jsonl", folder / "results.jsonl")
        paths = [path for path in beside if path.exists()]
    found = 0
    for path in paths:
        for number, line in showing.find(reading.lines_of(reading.chunks_of(path)), custom_id):
            found += 1
            click.echo(f"{path}:{number}", err=True)
            _show(line, as_json=as_json)
    if not found:
        raise click.ClickException(f"{where} has no custom_id '{custom_id}'. {_example(paths)}")


def _show(line: bytes, *, as_json: bool) -> None:
    if as_json:
        click.echo(of_fields(line))
        return
    for text in showing.shown_as_text(line):
        click.echo(text)


def _example(paths: list[Path]) -> str:
    for path in paths:
        for _, line in reading.lines_of(reading.chunks_of(path)):
            return f"It begins: {reading.shortened(line)}"
    return "It is empty."
