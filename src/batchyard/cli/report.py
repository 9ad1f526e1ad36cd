"""`batchyard report`: one HTML file that tells how a campaign went."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.aims import later
from batchyard.cli.lazily import lazily
from batchyard.cli.meant import folder_meant
from batchyard.cli.options import AS_JSON, of_fields
from batchyard.cli.targeting import TARGET_NAMES

with lazily():
    import json

    import msgspec

    from batchyard import config as configured
    from batchyard.client import tables
    from batchyard.client.apis import pricing, targets
    from batchyard.client.report import fields, golds, page, sources, writing

if TYPE_CHECKING:
    from batchyard.client.apis.pricing import PriceOf


__all__ = ["report"]

_NOT_YET = 7
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("what", metavar="DIR|RESULTS", shell_complete=later("files_or_campaigns"))
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE",
    default="report.html",
    show_default=True,
    help="Where to write it; - is stdout.",
)
@click.option("--gold", metavar="COLUMN", help="The column that holds the right labels.")
@click.option("--label", metavar="FIELD", help="The field of the answers that holds the label.")
@click.option("--rows", metavar="TABLE", help="Where --gold is: CSV, JSONL, Parquet, ...")
@click.option("--key", metavar="COLUMN", help="The column of TABLE that made the custom_ids.")
@click.option(
    "--for",
    "--to",
    "target",
    type=click.Choice(TARGET_NAMES),
    help="Whose prices count; by the campaign's URL unless given.",
)
@click.option("--config", type=_FILE, help="Where [[price]] tables stand; else batchyard.toml.")
@AS_JSON
def report(
    *,
    what: str,
    out: str,
    gold: str | None,
    label: str | None,
    rows: str | None,
    key: str | None,
    target: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Write one HTML file on a campaign (its folder, or @last), or on a file of results.

    It holds what was asked, outcomes, errors, labels, tokens and cost, throughput; with --gold,
    how far the labels agree with those known to be right. Gold labels are in the rows that the
    campaign was made of, in a table given with --rows, or in the requests' metadata.
    """
    source = folder_meant(what) or Path(what)
    try:
        prices = _prices(source, target, config)
        facts = writing.facts_of(
            source, price_of=prices, gold=gold, label=label, rows=rows, key=key
        )
    except sources.NoResultsError as error:
        click.echo(f"{error} is not complete. To go on: batchyard watch {error}", err=True)
        sys.exit(_NOT_YET)
    except (
        golds.GoldError,
        fields.LabelError,
        tables.TableError,
        tables.MissingExtraError,
        FileNotFoundError,
    ) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        # Half a surrogate pair, which answers may hold, can be told in ASCII only.
        click.echo(of_fields(json.dumps(msgspec.to_builtins(facts)).encode()))
    elif out == "-":
        click.echo(page.render(facts), nl=False)
    else:
        click.echo(writing.write_report(facts, Path(out)))


def _prices(source: Path, target: str | None, config: Path | None) -> PriceOf:
    try:
        table = configured.read_settings(config, {}).price
    except configured.SettingsError as error:
        raise click.ClickException(str(error)) from error
    return pricing.prices_at(
        targets.TARGETS[target] if target else targets.target_of_url(sources.base_url_of(source)),
        table,
    )
