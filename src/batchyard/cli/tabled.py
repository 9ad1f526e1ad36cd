"""Results as rows of a table, beside those of another table: `results --join`, `-o OUT.parquet`."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from batchyard.cli.aims import aim_at, state_here
from batchyard.cli.output import end
from batchyard.cli.remote import talk
from batchyard.cli.road import labels_of, shape_of
from batchyard.cli.submit import open_campaign
from batchyard.client.apis.finding import find_batch
from batchyard.client.apis.pricing import prices_of
from batchyard.client.apis.provider import ENDED
from batchyard.client.apis.remote import Remote
from batchyard.client.building.schema import SchemaError
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.files import InputIdsError, merge
from batchyard.client.results.answers import batch_lines
from batchyard.client.results.results import read_results
from batchyard.client.tables import MissingExtraError, Table, TableError, join, write_table
from batchyard.client.tables.sources import kind_of, table_of
from batchyard.client.tabular.rowwise import RowCampaign

__all__ = ["Wanted", "tell_rows"]

_INVALID = 3
# Into a file of these a table is put beside others.
_KEPT = ("duckdb", "sqlite")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was said on the command line of the rows that are wanted."""

    table: str | None
    key: str | None
    schema: str | None
    ok_only: bool
    output: Path | None


def tell_rows(what: str, folder: Path | None, to: str | None, wanted: Wanted) -> bool:
    """Write a row for each request, or for each row that was asked; whether all has ended."""
    path = wanted.output
    if path is not None and path.exists() and kind_of(path) not in _KEPT:
        raise click.ClickException(f"{path} exists already; remove it or choose another -o.")
    try:
        with tempfile.TemporaryDirectory(prefix="batchyard-") as spool:
            table, ended = _table(what, folder, to, wanted, Path(spool))
            if wanted.ok_only:
                table = _good(table)
            count = write_table(table, "-" if path is None else path)
    except (InputIdsError, SchemaError, TableError) as error:
        end(str(error), _INVALID)
    except (MissingExtraError, OSError) as error:
        end(str(error), 1)
    click.echo(f"{path or 'written'}: {count:,} rows", err=True)
    return ended


def _table(
    what: str, folder: Path | None, to: str | None, wanted: Wanted, spool: Path
) -> tuple[Table, bool]:
    if folder is None:
        destination = aim_at(to, what)
        ended = talk(destination, lambda remote: _fetch(remote, what, spool))
        return _of_requests(spool / "results.jsonl", destination.base_url, wanted), ended
    campaign = open_campaign(folder)
    ended = campaign.counts is not None
    if isinstance(campaign, RowCampaign) and ended:
        return _of_rows(campaign, wanted), ended
    results = campaign.results_path
    if not ended:
        results = spool / "results.jsonl"
        merge(sorted((folder / "raw").glob("*.jsonl")), results, input=folder / "input.jsonl")
    return _of_requests(results, _url_of(campaign), wanted), ended


def _of_requests(results: Path, base_url: str, wanted: Wanted) -> Table:
    """A row of the table, or of nothing but the custom_id, for each request."""
    ids = Table("ids", lambda: ({"custom_id": one.custom_id} for one in read_results(results)))
    return join(
        ids if wanted.table is None else wanted.table,
        results,
        key=labels_of(wanted.key) if wanted.key else None,
        shape=shape_of(wanted.schema) if wanted.schema else None,
        price_of=prices_of(base_url),
    )


def _of_rows(campaign: RowCampaign, wanted: Wanted) -> Table:
    """The rows that were asked, or those of the table in the same order."""
    if wanted.schema is not None:
        raise click.UsageError("What the answers of this campaign must be, it knows itself.")
    source = None if wanted.table is None else table_of(wanted.table)
    return campaign.table(source, labels_of(wanted.key) if wanted.key else None)


def _good(table: Table) -> Table:
    def rows() -> Iterator[dict[str, Any]]:
        name = ""
        for row in table.rows():
            # Rows may have a column of this name themselves.
            name = name or next(one for one in reversed(row) if one.endswith("outcome"))
            if row[name] == "succeeded":
                yield row

    return Table("good", rows, types=table.types)


async def _fetch(remote: Remote, word: str, spool: Path) -> bool:
    """Put the results of a batch in the order of its input; whether it has ended."""
    batch = await find_batch(remote, word, state_here())
    asked, found = spool / "input.jsonl", spool / "found.jsonl"
    with asked.open("wb") as out:
        async for line in remote.lines(str(batch["input_file_id"])):
            out.write(line)
    with found.open("wb") as out:
        async for line in batch_lines(remote, batch):
            out.write(line)
    merge([found], spool / "results.jsonl", input=asked, accept_cut_off=True)
    return batch["status"] in ENDED


def _url_of(campaign: Campaign) -> str:
    return campaign.manifest.settings.base_url
