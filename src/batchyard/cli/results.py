"""`batchyard results`: the answers of a campaign or a batch, whole, in part, or beside requests."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from batchyard.cli.aims import TO, WHAT, aim_at, state_here
from batchyard.cli.options import AS_JSON, OUTPUT
from batchyard.cli.output import published
from batchyard.cli.remote import campaign_meant, talk
from batchyard.client.apis.finding import find_batch
from batchyard.client.apis.provider import ENDED, ProviderError
from batchyard.client.apis.remote import UNKNOWN_ROUTE, Remote
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.answers import (
    Joining,
    batch_lines,
    beside,
    campaign_lines,
    ending_of,
    picked,
)
from batchyard.wire.objects import to_json

__all__ = ["results"]

_NOT_YET = 7
Write = Callable[[bytes], None]


@click.command()
@WHAT
@TO
@OUTPUT
@click.option("--ok-only", is_flag=True, help="Only what succeeded.")
@click.option(
    "--field",
    metavar="PATH",
    help="Only this of each: text, or a path such as response.body.usage.total_tokens.",
)
@click.option("--join", is_flag=True, help="With the request in each line, in the input's order.")
@AS_JSON
def results(
    *,
    what: str,
    to: str | None,
    output: Path | None,
    ok_only: bool,
    field: str | None,
    join: bool,
    as_json: bool,
) -> None:
    """Write the results of a campaign or a batch as JSON lines.

    BATCH is an id, the beginning of one, or @last. With --field a text is written as it is, or
    with --json beside its custom_id.
    """
    folder = campaign_meant(what)
    with published(output) as out:

        def write(line: bytes) -> None:
            ending = ending_of(line) if ok_only or (field and as_json) else None
            if ok_only and not (ending is not None and ending.succeeded):
                return
            if field is None:
                out.write(line if line.endswith(b"\n") else line + b"\n")
                return
            value = picked(line, field)
            if as_json:
                told = {"custom_id": ending.custom_id if ending else None, field: value}
                out.write(to_json(told) + b"\n")
            else:
                out.write(_plain(value).encode("utf-8", "surrogatepass") + b"\n")

        if folder is not None:
            for line in _of_campaign(folder, join=join):
                write(line)
            complete = (folder / "results.jsonl").exists()
        else:
            complete = talk(aim_at(to, what), lambda remote: _ask(remote, what, write, join=join))
    if not complete:
        click.echo("It has not ended; these are the results so far.", err=True)
        sys.exit(_NOT_YET)


def _of_campaign(folder: Path, *, join: bool) -> Iterator[bytes]:
    if not join or not (folder / "results.jsonl").exists():
        yield from campaign_lines(folder)
        return
    requests = placed_lines(folder / "input.jsonl")
    for (_, request), line in zip(requests, campaign_lines(folder), strict=True):
        yield beside(line, request)


async def _ask(remote: Remote, word: str, write: Write, *, join: bool) -> bool:
    """Write what there is of a batch; whether that is all."""
    batch = await find_batch(remote, word, state_here())
    ended = batch["status"] in ENDED
    try:
        if not join:
            async for line in batch_lines(remote, batch):
                write(line)
            return ended
        with tempfile.TemporaryFile() as spool:
            joining = Joining(spool)
            async for line in batch_lines(remote, batch):
                joining.keep(line)
            async for request in remote.lines(str(batch["input_file_id"])):
                write(joining.join(request))
    except ProviderError as error:
        if ended or error.status not in UNKNOWN_ROUTE:
            raise
        click.echo(
            f"{batch['id']} is {batch['status']}; its server keeps results until the end.", err=True
        )
    return ended


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
