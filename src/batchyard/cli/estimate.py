"""`batchyard estimate`: what a file will cost, before anything is sent."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import SOURCE, clean, json_option, tell_json
from batchyard.cli.progress import lasting
from batchyard.cli.targeting import TARGET

with lazily():
    from batchyard import config as configured
    from batchyard.client.apis import pricing, targets
    from batchyard.client.examining import estimating, reading

if TYPE_CHECKING:
    from batchyard.client.apis.targets import Target
    from batchyard.client.examining.estimating import Estimate
    from batchyard.wire.money import Price


__all__ = ["estimate"]

_OVER_BUDGET = 8


@click.command()
@SOURCE
@TARGET
@click.option(
    "--output-tokens",
    nargs=2,
    type=click.IntRange(min=0),
    default=(20, 1_000),
    show_default=True,
    metavar="LOW HIGH",
    help="Tokens of an answer; a request's own cap counts instead of HIGH.",
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests per second.")
@click.option("--exact", is_flag=True, help="Count with tiktoken (the extra `tokens`).")
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0),
    help="Exit with code 8 where the batch may cost more, or where no price is known.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Where [[price]] tables stand; batchyard.toml, if there is one, unless given.",
)
@json_option("One JSON object.")
def estimate(
    *,
    source: Path,
    target: str,
    output_tokens: tuple[int, int],
    rate: float | None,
    exact: bool,
    max_usd: float | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Estimate tokens, dollars and time of IN.jsonl, low and high by the length of answers."""
    count, method = _counter() if exact else (None, estimating.BY_BYTES)
    lots = estimating.weigh(
        reading.lines_of(reading.chunks_of(source)), estimating.Lengths(*output_tokens), count
    )
    found = estimating.estimate(
        lots, _prices(targets.TARGETS[target], config), method=method, rate=rate
    )
    if as_json:
        tell_json({"file": str(source), "target": target, "estimate": found})
    else:
        _show(found)
    _warn(found)
    if max_usd is not None and (found.unpriced or found.batch_usd[1] > max_usd):
        why = (
            f"no price is known of {clean(', '.join(found.unpriced))}"
            if found.unpriced
            else f"up to {_usd(found.batch_usd[1])} is more"
        )
        click.echo(f"over the cap of {_usd(max_usd)}: {why}", err=True)
        sys.exit(_OVER_BUDGET)


def _counter() -> tuple[Callable[[str, bytes], int], str]:
    try:
        tokenizing: Any = importlib.import_module("batchyard.client.examining.tokenizing")
    except ImportError as error:
        raise click.ClickException(
            "--exact needs tiktoken: pip install 'batchyard[tokens]'"
        ) from error
    try:
        tokenizing.count_tokens("gpt-4o", b"{}")
    except OSError as error:
        raise click.ClickException(f"tiktoken cannot load its tables: {error}") from error
    return tokenizing.count_tokens, tokenizing.METHOD


def _prices(target: Target, config: Path | None) -> Callable[[str], Price | None]:
    """The user's own table first, then list prices less the target's discount for batches."""
    try:
        table = configured.read_settings(config, {}).price
    except configured.SettingsError as error:
        raise click.ClickException(str(error)) from error
    return pricing.prices_at(target, table)


def _show(found: Estimate) -> None:
    for row in found.models:
        told = [
            f"{clean(row.model) or '(no model)'}: {row.requests:,} requests",
            f"{row.input_tokens:,} input tokens",
            f"{row.output_tokens[0]:,} to {row.output_tokens[1]:,} output tokens",
        ]
        if row.batch_usd is not None and row.realtime_usd is not None:
            told.append(f"batch {_span(row.batch_usd)}, one by one {_span(row.realtime_usd)}")
            told.append(f"prices: {row.price}")
        else:
            told.append("no price is known")
        click.echo("; ".join(told))
    click.echo(
        f"total: {found.requests:,} requests; {found.input_tokens:,} input tokens; "
        f"{found.output_tokens[0]:,} to {found.output_tokens[1]:,} output tokens; "
        f"batch {_span(found.batch_usd)}, one by one {_span(found.realtime_usd)}"
        + (f"; {lasting(found.seconds)}" if found.seconds is not None else "")
    )


def _warn(found: Estimate) -> None:
    click.echo(f"tokens: {found.method}", err=True)
    if found.uncapped:
        click.echo(f"{found.uncapped:,} requests have no cap on the answer's length", err=True)
    if found.unreadable:
        click.echo(
            f"{found.unreadable:,} lines cannot be read and are left out; see `batchyard check`",
            err=True,
        )


def _span(usd: tuple[float, float]) -> str:
    low, high = map(_usd, usd)
    return low if low == high else f"{low} to {high}"


def _usd(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}"
