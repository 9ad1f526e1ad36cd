"""`batchyard merge`: several files of results become one, with one line for each request."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from batchyard.cli.meant import results_meant
from batchyard.cli.options import AS_JSON, OUTPUT, tell_json
from batchyard.cli.output import published
from batchyard.client.answers import id_of
from batchyard.client.merging import Ledger, lines_of
from batchyard.client.results import result_of

__all__ = ["merge"]

_INVALID, _SOME_FAILED = 3, 6


@click.command()
@click.argument("words", metavar="RESULTS...", nargs=-1, required=True)
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
    ids = list(_named(paths)) if asked is None else _asked(asked)
    ledger = Ledger(Path(), ids, accept_cut_off=accept_cut_off)
    for path in paths:
        ledger.add_file(path)
    ledger.add_missing()
    counts = ledger.counts()
    with published(output) as out:
        out.writelines(ledger.lines())
    ledger.close()
    told = counts | {"duplicates": ledger.duplicates, "strangers": ledger.strangers}
    if as_json and output is not None:
        tell_json({"file": str(output), "requests": len(ids), **told})
    shown = ", ".join(f"{name}: {often:,}" for name, often in told.items() if often)
    click.echo(f"{output or 'merged'}: {len(ids):,} requests; {shown}", err=True)
    sys.exit(_SOME_FAILED if strict and counts["succeeded"] < len(ids) else 0)


def _named(paths: Iterable[Path]) -> dict[str, None]:
    """The ids that the files name, in the order in which they first do."""
    ids: dict[str, None] = {}
    for path in paths:
        for _, line in lines_of(path):
            found = result_of(line)
            if found is not None:
                ids[found.custom_id] = None
    return ids


def _asked(path: Path) -> list[str]:
    """The ids of a file of requests; each must be there once."""
    ids: dict[str, None] = {}
    for _, line in lines_of(path):
        try:
            id = id_of(line)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            _refuse(f"{path}: '{line[:60].decode(errors='replace')}' has no custom_id")
        if id in ids:
            _refuse(f"{path}: the custom_id '{id}' stands twice")
        ids[id] = None
    return list(ids)


def _refuse(text: str) -> None:
    click.echo(f"{text}; see `batchyard check`.", err=True)
    sys.exit(_INVALID)
