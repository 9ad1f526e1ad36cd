"""`batchyard sample`: some lines of a file by chance."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import COUNTED, OUTPUT, json_option, tell_json
from batchyard.cli.output import published

with lazily():
    import random

    from batchyard.client.examining import sampling


__all__ = ["sample"]

_WITH_HEADER = (".csv", ".tsv")


@click.command()
@click.argument("source", metavar="IN", type=click.File("rb"))
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many lines.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Another seed, another sample."
)
@OUTPUT
@json_option(COUNTED)
def sample(*, source: IO[bytes], count: int, seed: int, output: Path | None, as_json: bool) -> None:
    """Write some lines of IN by chance, in their order and byte for byte; - is stdin.

    Each line is as likely as any other. A .csv or .tsv keeps its header.
    """
    table = Path(source.name).suffix.lower() in _WITH_HEADER
    records = sampling.records_of(source, quoted=table)
    header = list(islice(records, 1 if table else 0))
    chosen = sampling.sample(records, count, random.Random(seed))
    with published(output) as out:
        out.writelines(header + chosen)
    if as_json and output is not None:
        tell_json({"file": str(output), "lines": len(chosen)})
    click.echo(f"{source.name}: {len(chosen):,} lines, seed {seed}", err=True)
