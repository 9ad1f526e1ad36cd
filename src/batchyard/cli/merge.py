"""`batchyard merge`: several files of results become one, with one line for each request."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batchyard.cli.aims import later
from batchyard.cli.lazily import lazily
from batchyard.cli.meant import results_meant
from batchyard.cli.options import AS_JSON, OUTPUT, clean, tell_json
from batchyard.cli.output import published

with lazily():
    from batchyard.client.results import uniting


__all__ = ["merge"]

_INVALID, _SOME_FAILED = 3, 6


@click.command()
@click.argument(
    "words",
    metavar="RESULTS...",
    nargs=-1,
    required=True,
    shell_complete=later("files_or_campaigns"),
)
@click.option(
    "--input",
    "asked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="IN.jsonl",
    help="What was asked: one line for each request, in its order, also for those without result.",
)
@click.option("--accept-cut-off", is_flag=True, help="An answer cut off by its cap is a success.")
@click.option("--strict", is_flag=True, help="Exit with 6 where a request did not succeed.")
@OUTPUT
@AS_JSON
def merge(
    *,
    words: tuple[str, ...],
    asked: Path | None,
    accept_cut_off: bool,
    strict: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Merge RESULTS, files or campaigns in the order in which they came, into one line for each.

    A success stands whatever comes after it; else the last counts. Every line tells its attempts.
    With -o, --json writes the counts to stdout.
    """
    paths = [results_meant(word) for word in words]
    try:
        with published(output) as out:
            beside = None if output is None else output.parent
            merged = uniting.unite(out, paths, asked, accept_cut_off=accept_cut_off, beside=beside)
    except uniting.InputIdsError as error:
        click.echo(clean(error), err=True)
        sys.exit(_INVALID)
    extra = {"duplicates": merged.duplicates, "strangers": merged.strangers}
    told = {**merged.outcomes, **extra}
    if as_json and output is not None:
        tell_json({"file": str(output), "requests": merged.requests, **told})
    shown = ", ".join(f"{name}: {often:,}" for name, often in told.items() if often)
    click.echo(f"{output or 'merged'}: {merged.requests:,} requests; {shown}", err=True)
    sys.exit(_SOME_FAILED if strict and merged.outcomes["succeeded"] < merged.requests else 0)
