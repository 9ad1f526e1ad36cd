"""`batchyard results`: the answers of a campaign or a batch, whole, in part, or beside requests."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchyard.cli.aims import TO, WHAT, aim_at, state_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, OUTPUT, TABLES, of_fields
from batchyard.cli.output import published
from batchyard.cli.remote import campaign_meant, talk

with lazily():
    import json

    from batchyard.client.apis import finding, provider
    from batchyard.client.apis import remote as remotes
    from batchyard.client.examining import reading
    from batchyard.client.results import answers
    from batchyard.wire import objects

if TYPE_CHECKING:
    from batchyard.client.apis.remote import Remote


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
@click.option("--requests", is_flag=True, help="With the request in each line, in its order.")
@click.option(
    "--join", "table", metavar="TABLE", help="As rows, beside the columns of those that were asked."
)
@click.option(
    "--id", "--key", "key", metavar="COLUMN,...", help="What made the custom_ids; else the order."
)
@click.option(
    "--schema", "--parse", metavar="FILE.json|MODULE:NAME", help="A column for each field of this."
)
@AS_JSON
def results(
    *,
    what: str,
    to: str | None,
    output: Path | None,
    ok_only: bool,
    field: str | None,
    requests: bool,
    table: str | None,
    key: str | None,
    schema: str | None,
    as_json: bool,
) -> None:
    """Write the results of a campaign or a batch as JSON lines, or as rows.

    BATCH is an id, the beginning of one, or @last. With --field a text is written as it is, or
    with --json beside its custom_id. With --join, --schema, or where OUT is CSV, Parquet, DuckDB
    or SQLite, there is a row for each, with columns of the answer, outcome, error, tokens, cost.
    """
    folder = campaign_meant(what, whole=True)
    if table or key or schema or (output is not None and output.suffix.lower() in TABLES):
        if field or requests:
            raise click.UsageError("--field and --requests are for lines, not for rows.")
        # Tables are much to load.
        tabled = importlib.import_module("batchyard.cli.tabled")
        wanted = tabled.Wanted(table=table, key=key, schema=schema, ok_only=ok_only, output=output)
        if not tabled.tell_rows(what, folder, to, wanted):
            _not_yet()
        return
    with published(output) as out:

        def write(line: bytes) -> None:
            ending = answers.ending_of(line) if ok_only or (field and as_json) else None
            if ok_only and not (ending is not None and ending.succeeded):
                return
            if field is None:
                out.write(of_fields(line).rstrip(b"\n") + b"\n")
                return
            value = answers.picked(line, field)
            if as_json:
                told = {"custom_id": ending.custom_id if ending else None, field: value}
                out.write(objects.to_json(told) + b"\n")
            else:
                out.write(_plain(value).encode("utf-8", "surrogatepass") + b"\n")

        if folder is not None:
            for line in _of_campaign(folder, requests=requests):
                write(line)
            complete = (folder / "results.jsonl").exists()
        else:
            complete = talk(
                aim_at(to, what), lambda remote: _ask(remote, what, write, requests=requests)
            )
    if not complete:
        _not_yet()


def _not_yet() -> NoReturn:
    click.echo("It has not ended; these are the results so far.", err=True)
    sys.exit(_NOT_YET)


def _of_campaign(folder: Path, *, requests: bool) -> Iterator[bytes]:
    if not requests or not (folder / "results.jsonl").exists():
        yield from answers.campaign_lines(folder)
        return
    asked = reading.placed_lines(folder / "input.jsonl")
    for (_, request), line in zip(asked, answers.campaign_lines(folder), strict=True):
        yield answers.beside(line, request)


async def _ask(remote: Remote, word: str, write: Write, *, requests: bool) -> bool:
    """Write what there is of a batch; whether that is all."""
    batch = await finding.find_batch(remote, word, state_here())
    ended = batch["status"] in provider.ENDED
    try:
        if not requests:
            async for line in answers.batch_lines(remote, batch):
                write(line)
            return ended
        with tempfile.TemporaryFile() as spool:
            joining = answers.Joining(spool)
            async for line in answers.batch_lines(remote, batch):
                joining.keep(line)
            async for request in remote.lines(str(batch["input_file_id"])):
                write(joining.join(request))
    except provider.ProviderError as error:
        if ended or error.status not in remotes.UNKNOWN_ROUTE:
            raise
        click.echo(
            f"{batch['id']} is {batch['status']}; its server keeps results until the end.", err=True
        )
    return ended


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
