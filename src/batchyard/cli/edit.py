"""`batchyard edit`: the same values set or removed in every request of a file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import COUNTED, OUTPUT, SOURCE, clean, json_option, tell_json
from batchyard.cli.output import noted, published

with lazily():
    import msgspec

    from batchyard.client.building import parameters
    from batchyard.client.examining import editing, reading


__all__ = ["edit"]

_INVALID = 3


@click.command()
@SOURCE
@click.option(
    "--set",
    "assigned",
    multiple=True,
    metavar="PATH=VALUE",
    help="A value in JSON, or else a text: body.temperature=0, body.model=gpt-5-mini.",
)
@click.option("--unset", "removed", multiple=True, metavar="PATH", help="body.stream, for example.")
@OUTPUT
@json_option(COUNTED)
def edit(
    *,
    source: Path,
    assigned: tuple[str, ...],
    removed: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Set and remove values in every request of IN.jsonl; all else keeps its bytes.

    A path leads into objects by names and into lists by numbers: body.messages.0.content.
    """
    edits = [
        *map(_assignment, assigned),
        *(editing.Edit(_path(one), msgspec.UNSET) for one in removed),
    ]
    if not edits:
        raise click.UsageError("Say what to --set or to --unset.")
    lines = changed = 0
    try:
        with noted(), published(output) as out:
            for line, is_new in editing.edit(reading.lines_of(reading.chunks_of(source)), edits):
                out.write(line + b"\n")
                lines += 1
                changed += is_new
    except editing.EditError as error:
        if error.line is None:
            raise click.UsageError(str(error)) from error
        click.echo(f"{source}:{error.line}: error: {clean(error)}", err=True)
        sys.exit(_INVALID)
    except parameters.ParameterError as error:
        raise click.UsageError(str(error)) from error
    if as_json and output is not None:
        tell_json({"file": str(output), "requests": lines, "changed": changed})
    click.echo(f"{source}: {lines:,} requests, changed: {changed:,}", err=True)


def _assignment(text: str) -> editing.Edit:
    path, mark, value = text.partition("=")
    if not mark:
        raise click.UsageError(f"Write --set {path}=VALUE.")
    return editing.Edit(_path(path), editing.value_of(value))


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))
