"""`batchyard run`: a file of requests in, a file of answers out."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import TABLES
from batchyard.cli.road import Road, with_road

with lazily():
    from batchyard.cli import run_here, run_to, spooling
    from batchyard.rules import limits

__all__ = ["run"]

_FILE = click.Path(dir_okay=False, path_type=Path)
# How a compressed file begins, and what writes its content to a pipe.
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"BZh": ("bzip2", "bunzip2 -c"),
    b"\xfd7zXZ": ("xz", "xz -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
_TIMEOUT_SECONDS_MAX = 30 * 86_400
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _span(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Seconds, or a time with a unit such as 90s, 30m or 2h."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text)
    seconds = float(found[1]) * _UNIT_SECONDS[found[2]] if found else 0.0
    if not 0 < seconds <= _TIMEOUT_SECONDS_MAX:
        raise click.BadParameter("write seconds, or a time up to 30d such as 90s, 30m or 2h")
    return seconds


@click.command()
@click.argument(
    "source", metavar="IN", type=click.Path(exists=True, allow_dash=True, path_type=Path)
)
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
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    callback=_span,
    help="An answer that takes longer is given up and asked again; 600 unless given. Or 30m, 2h.",
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
    timeout_seconds: float | None,
    **road: Any,
) -> None:
    """Answer every request of IN.jsonl and write OUT.jsonl, or every row of a table.

    With --to, a Batch API answers: what is asked is planned, submitted, watched, collected, asked
    again where that helps, and merged. IN is then a batch file, or a CSV, Parquet, JSONL or other
    table, of whose rows --labels, --template, --schema, --into or --embed say what is wanted; OUT
    is any of these kinds. Without --to, model servers answer, and no Batch API is needed.

    Stopped or killed at any moment, the same command goes on where it was: no line that has its
    answer is asked again. IN may be - for stdin, and OUT with --to, or for rows, - for stdout.
    """
    said = Road(**road)
    bounds = (start_concurrency, max_concurrency, timeout_seconds)
    if said.to is not None and (urls or errors or any(bounds)):
        raise click.UsageError("--upstream and what belongs to it do not go with --to.")
    seconds = limits.window_seconds(window, limits.LOCAL)
    if said.to is None and seconds is None:
        raise click.BadParameter(
            "write a time from 1s to 30d, such as 90m, 24h or 7d", param_hint="--window"
        )
    source = spooling.spooled(source)

    def answer(requests: Path, answers: Path, failures: Path) -> int:
        assert seconds is not None
        return run_here.answer(requests, answers, failures, urls, bounds, seconds)

    if not said.is_spoken_of:
        _refuse_compressed(source)
    if said.is_spoken_of or source.suffix.lower() in TABLES:
        _hold(source, said, urls)
        if said.to is not None:
            run_to.travel(source, output, window, said)
        else:
            run_to.stay(source, output, said._replace(to=run_here.address_of(urls)), answer)
        return
    if output is None or str(output) == "-":
        raise click.UsageError("Say with -o OUT.jsonl where the answers go.")
    errors = errors or output.with_name(f"{output.stem}.errors.jsonl")
    _refuse_same(source, output, errors)
    sys.exit(run_here.tell(output, errors, answer(source, output, errors), strict=said.strict))


def _hold(source: Path, said: Road, urls: tuple[str, ...]) -> None:
    """Wrong usage where it is not said what is wanted of rows, or who is asked."""
    if said.to is not None:
        return
    if source.suffix.lower() in TABLES and not said.wants_rows:
        raise click.UsageError(
            f"{source} is a table: say what is wanted of its rows with --template, --labels, "
            "--schema, --into or --embed, and who is asked with --to or --upstream."
        )
    if not (urls and said.wants_rows):
        raise click.UsageError(
            "This needs --to: a profile, openai, azure or a URL; or for the rows of a table "
            "--upstream, a model server."
        )
    if said.canary:
        raise click.UsageError("--canary needs --to.")


def _refuse_compressed(source: Path) -> None:
    """Tell how to read requests that are compressed; tables may be so."""
    if not source.is_file() or Path(source.stem).suffix.lower() in TABLES - {".gz"}:
        return
    with source.open("rb") as file:
        beginning = file.read(8)
    for sign, (name, reader) in _COMPRESSED.items():
        if beginning.startswith(sign):
            raise click.UsageError(
                f"{source} is compressed with {name}. To answer the requests in it: "
                f"{reader} {source} | batchyard run - -o OUT.jsonl"
            )


def _refuse_same(source: Path, output: Path, errors: Path) -> None:
    """Wrong usage where one file would be two of the three."""
    if output.resolve() == errors.resolve():
        raise click.UsageError(f"Answers and failed lines cannot both go to {output}.")
    for option, path in (("-o", output), ("--errors", errors)):
        if _is_same(path, source):
            raise click.UsageError(f"{option} {path} is the input itself; name another file.")


def _is_same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:
        # It is not there yet, or cannot be.
        return False
