"""`batchyard fix`: what can be repaired in a file is, and every change is told."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from batchyard.cli.findings import as_text
from batchyard.cli.lazily import lazily
from batchyard.cli.options import SOURCE, Named, clean, json_option, tell_json
from batchyard.cli.output import published
from batchyard.cli.targeting import TARGET

with lazily():
    from batchyard.client.apis import targets
    from batchyard.client.examining import checking, fixing, reading
    from batchyard.rules import endpoints

if TYPE_CHECKING:
    from batchyard.client.apis.targets import Target
    from batchyard.client.examining.fixing import Change


__all__ = ["Told", "fix", "repair"]

_INVALID = 3
# So many changes of a kind are told one by one to people.
_TOLD_MAX = 20


@click.command()
@SOURCE
@TARGET
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.jsonl",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the repaired file goes.",
)
@click.option(
    "--url", type=Named(lambda: endpoints.EVERYWHERE), metavar="URL", help="Give it to every line."
)
@json_option("Every change as a JSON line.")
def fix(*, source: Path, target: str, output: Path, url: str | None, as_json: bool) -> None:
    """Repair IN.jsonl into OUT.jsonl: ids, urls, blank lines, parameters that were renamed.

    Every change is told on stdout. The exit code is 3 where something is left that the target
    would refuse.
    """
    told = Told(source, as_json=as_json)
    with published(output) as file:
        repair(source, targets.TARGETS[target], url, file, told)
    report = checking.check(partial(reading.chunks_of, output), targets.TARGETS[target])
    for text in as_text(output, report.findings):
        click.echo(text, err=True)
    click.echo(
        f"{output}: changes: {sum(told.counts.values()):,}, errors left: {len(report.errors):,}",
        err=True,
    )
    sys.exit(_INVALID if report.errors else 0)


def repair(source: Path, target: Target, url: str | None, out: IO[bytes], told: Told) -> None:
    """Write what a file becomes, and tell every change."""
    for line, changes in fixing.fix(partial(reading.chunks_of, source), target, url=url):
        for change in changes:
            told.tell(change)
        if line is not None:
            out.write(line + b"\n")
    told.end()


class Told:
    """Tells changes: all of them to programs, the first of each kind to people."""

    def __init__(self, source: Path, *, as_json: bool = False, err: bool = False) -> None:
        self._source, self._as_json, self._err = source, as_json, err
        self.counts = Counter[str]()

    def tell(self, change: Change) -> None:
        """Tell one change."""
        self.counts[change.code] += 1
        if self._as_json:
            tell_json(change)
        elif self.counts[change.code] <= _TOLD_MAX:
            place = f"{self._source}:{change.line}" if change.line else str(self._source)
            after = f"now {change.after}" if change.after else "removed"
            told = clean(f"{change.code}: {change.before}: {after}")
            click.echo(f"{place}: {told}", err=self._err)

    def end(self) -> None:
        """Say how many were not told."""
        for code, count in self.counts.items():
            if count > _TOLD_MAX and not self._as_json:
                more = f"{count - _TOLD_MAX:,} more; `batchyard fix --json` tells all"
                click.echo(f"{self._source}: {code}: {more}", err=self._err)
