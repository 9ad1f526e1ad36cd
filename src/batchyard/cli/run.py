"""`batchyard run`: a file of requests in, a file of answers out."""

from pathlib import Path
from typing import Any

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.road import Road, with_road

with lazily():
    from batchyard.cli import run_here, run_to
    from batchyard.rules import limits

__all__ = ["run"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("source", metavar="IN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", metavar="OUT", type=_FILE, help="Where answers go; needed without --to."
)
@click.option(
    "--errors",
    metavar="ERR.jsonl",
    type=_FILE,
    help="Where failed lines go; OUT.errors.jsonl unless given.",
)
@click.option(
    "--upstream",
    "urls",
    multiple=True,
    metavar="URL",
    help="Base URL of a model server, or `sim`; may be repeated.",
)
@click.option(
    "--window",
    default="24h",
    show_default=True,
    help="After this time what is left expires: 90m, 24h, 7d.",
)
@click.option(
    "--max-concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most lines in flight at once, per model and upstream.",
)
@click.option(
    "--start-concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Lines in flight at the start; the rest is found out.",
)
@with_road
def run(
    *,
    source: Path,
    output: Path | None,
    errors: Path | None,
    urls: tuple[str, ...],
    window: str,
    max_concurrency: int | None,
    start_concurrency: int | None,
    **road: Any,
) -> None:
    """Answer every request of IN.jsonl and write OUT.jsonl, or every row of a table.

    With --to, a Batch API answers: what is asked is planned, submitted, watched, collected, asked
    again where that helps, and merged. IN is then a batch file, or a CSV, Parquet, JSONL or other
    table, of whose rows --labels, --template, --schema, --into or --embed say what is wanted; OUT
    is any of these kinds. Without --to, model servers answer, and no Batch API is needed.

    Stopped or killed at any moment, the same command goes on where it was: no line that has its
    answer is asked again.
    """
    if Road(**road).is_spoken_of:
        if road["to"] is None:
            raise click.UsageError("This needs --to: a profile, openai, azure or a URL.")
        if urls or errors or max_concurrency or start_concurrency:
            raise click.UsageError("--upstream and what belongs to it do not go with --to.")
        run_to.travel(source, output, window, Road(**road))
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    seconds = limits.window_seconds(window, limits.LOCAL)
    if seconds is None:
        raise click.BadParameter(
            "write a time from 1s to 30d, such as 90m, 24h or 7d", param_hint="--window"
        )
    errors = errors or output.with_name(f"{output.stem}.errors.jsonl")
    widths = (start_concurrency, max_concurrency)
    run_here.answer(source, output, errors, urls, widths, seconds)
