"""`batchyard sim`: a simulated upstream, for trying things out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard import sim as simulated

if TYPE_CHECKING:
    from batchyard.sim import Faults, Latency

__all__ = ["sim"]

_Setting = TypeVar("_Setting")


def _by(
    parse: Callable[[str], _Setting],
) -> Callable[[click.Context, click.Parameter, str | None], _Setting | None]:
    """Let `parse` read an option; what it refuses is told as a mistake in the command line."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> _Setting | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read


def _latency(text: str) -> Latency:
    return simulated.Latency.parse(text)


def _faults(text: str) -> Faults:
    return simulated.Faults.parse(text)


def _models(text: str) -> tuple[str, ...]:
    return simulated.parse_models(text)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--seed", default=0, show_default=True, help="The same seed gives the same answers and faults."
)
@click.option(
    "--latency",
    default="instant",
    show_default=True,
    callback=_by(_latency),
    metavar="HOW",
    help="instant, fixed:SECONDS, lognormal:MEAN_SECONDS or tokens:PER_SECOND[:SLOTS].",
)
@click.option(
    "--faults",
    default="",
    callback=_by(_faults),
    metavar="LIST",
    help="What goes wrong: NAME:PROBABILITY, or NAME@COUNT for the first attempts of each body; "
    "a status or 429-FORM, hang, reset, cut, short, drip, garbage, empty, array, error200, huge, "
    "redirect, chunkcut, badhttp.",
)
@click.option(
    "--models",
    callback=_by(_models),
    metavar="A,B",
    help="The only models there are; any model is taken unless given.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append one JSON line per request served.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
def sim(
    *,
    host: str,
    port: int,
    seed: int,
    latency: Latency,
    faults: Faults,
    models: tuple[str, ...] | None,
    log: Path | None,
    until_stdin_ends: bool,
) -> None:
    """Run a simulated OpenAI-compatible upstream; no model answers, and it says so."""
    options = simulated.SimOptions(
        host=host,
        port=port,
        seed=seed,
        latency=latency,
        faults=faults,
        models=models or (),
        log=log,
    )
    try:
        simulated.run(options, sys.stdin.fileno() if until_stdin_ends else None)
    except OSError as error:
        raise click.ClickException(f"cannot start: {error}") from error
