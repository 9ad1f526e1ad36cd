"""`batchyard errors`: what went wrong, by code, with samples and with what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import TO, aim_at, later, state_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, clean, tell_json
from batchyard.cli.remote import campaign_meant, talk

with lazily():
    from batchyard.client.apis import finding, provider
    from batchyard.client.apis import remote as remotes
    from batchyard.client.examining import reading
    from batchyard.client.results import answers
    from batchyard.rules import codes

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote


__all__ = ["errors"]

_NOT_YET = 7
_MESSAGE_CHARACTERS_MAX = 300


@click.command()
@click.argument("what", metavar="DIR|BATCH|FILE", shell_complete=later("batches_or_campaigns"))
@TO
@click.option(
    "--by",
    type=click.Choice(["code", "outcome", "message"]),
    default="code",
    show_default=True,
    help="What is counted together.",
)
@click.option(
    "--sample",
    type=click.IntRange(0, 1_000),
    default=3,
    show_default=True,
    metavar="N",
    help="How many of each are shown.",
)
@AS_JSON
def errors(*, what: str, to: str | None, by: str, sample: int, as_json: bool) -> None:
    """Count what has no answer by code, with samples, of a campaign, a batch or a result file.

    BATCH is an id, the beginning of one, or @last.
    """
    faults = answers.Faults(by, sample)
    folder = campaign_meant(what, whole=True)
    if folder is not None:
        _add(faults, answers.campaign_lines(folder))
        if not (folder / "results.jsonl").exists():
            click.echo(f"{folder} has not ended; this is so far", err=True)
    elif Path(what).is_file():
        _add(faults, (line for _, line in reading.placed_lines(Path(what))))
    else:
        talk(aim_at(to, what), lambda remote: _ask(remote, what, faults))
    _tell(faults, sample, as_json=as_json)


def _add(faults: answers.Faults, lines: Iterable[bytes]) -> None:
    for line in lines:
        ending = answers.ending_of(line)
        if ending is not None and not ending.succeeded:
            faults.add(ending)


async def _ask(remote: Remote, word: str, faults: answers.Faults) -> None:
    batch = await finding.find_batch(remote, word, state_here())
    for one in _refusals(batch):
        faults.add(one)
    if batch["status"] not in provider.ENDED:
        await _so_far(remote, batch, faults)
        return
    failed = batch["request_counts"]["failed"]
    # Where the error file names them all, the answers need not be fetched.
    for kind in ("error", "output"):
        if kind == "error" or faults.total < failed:
            async for line in answers.batch_lines(remote, batch, kind):
                _add(faults, (line,))


async def _so_far(remote: Remote, batch: dict[str, Any], faults: answers.Faults) -> None:
    try:
        async for line in answers.batch_lines(remote, batch):
            _add(faults, (line,))
    except provider.ProviderError as error:
        if error.status not in remotes.UNKNOWN_ROUTE:
            raise
        click.echo(
            f"{batch['id']} is {batch['status']}; its server keeps errors until the end.", err=True
        )
        sys.exit(_NOT_YET)
    click.echo(f"{batch['id']} is {batch['status']}; this is so far", err=True)


def _refusals(batch: dict[str, Any]) -> list[answers.Ending]:
    """Why a batch failed as a whole."""
    found = batch.get("errors")
    listed = found.get("data") if isinstance(found, dict) else found
    return [
        answers.Ending(
            f"line {one['line']}" if one.get("line") else "the file",
            "errored",
            str(one.get("code") or ""),
            str(one.get("message") or ""),
        )
        for one in listed or ()
        if isinstance(one, dict)
    ]


def _tell(faults: answers.Faults, most: int, *, as_json: bool) -> None:
    for name, count, samples in faults.groups():
        known = codes.explain(samples[0].code)
        shown = samples[:most]
        if as_json:
            told = [{"custom_id": one.custom_id, "message": one.message} for one in shown]
            remedy = known.remedy if known else None
            tell_json({"name": name, "count": count, "remedy": remedy, "samples": told})
            continue
        click.echo(f"{count:>9,}  {clean(name[:_MESSAGE_CHARACTERS_MAX])}")
        if known is not None:
            click.echo(f"           {known.meaning} {known.remedy}")
        for one in shown:
            message = clean(one.message[:_MESSAGE_CHARACTERS_MAX])
            click.echo(f"           {clean(one.custom_id)}: {message}")
    if not faults.total:
        click.echo("Nothing went wrong.", err=True)
