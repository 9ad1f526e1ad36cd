"""`batchyard check`: all that is wrong with a file, before anything is sent."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.aims import aim_for
from batchyard.cli.findings import as_github, as_text
from batchyard.cli.fix import Told, repair
from batchyard.cli.lazily import lazily
from batchyard.cli.options import SOURCES, Named, amount, clean, json_option, tell_json
from batchyard.cli.output import published
from batchyard.cli.targeting import TARGET

with lazily():
    import asyncio

    from batchyard.client.apis import provider, targets
    from batchyard.client.apis import remote as remotes
    from batchyard.client.examining import checking, reading
    from batchyard.rules import endpoints

if TYPE_CHECKING:
    from batchyard.client.apis.targets import Target
    from batchyard.client.examining.checking import Report


__all__ = ["check"]

_INVALID = 3


@click.command()
@SOURCES
@TARGET
@click.option(
    "--endpoint",
    type=Named(lambda: endpoints.ENDPOINTS),
    metavar="URL",
    help="What the batch is for; what the first line asks for unless given.",
)
@click.option("--model", "models", multiple=True, metavar="MODEL", help="The target serves these.")
@click.option(
    "--max-enqueued-tokens",
    callback=amount,
    metavar="N",
    help="How many input tokens may be enqueued: 90000, 2M.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How findings are written to stdout.",
)
@json_option("The same as --format json.")
@click.option(
    "--fix",
    "fixing",
    is_flag=True,
    help="Repair the files first; IN.jsonl.orig keeps what one was.",
)
@click.option("--strict", is_flag=True, help="Warnings too mean exit code 3.")
def check(
    *,
    sources: tuple[Path, ...],
    target: str,
    endpoint: str | None,
    models: tuple[str, ...],
    max_enqueued_tokens: int | None,
    form: str,
    as_json: bool,
    fixing: bool,
    strict: bool,
) -> None:
    """Say all that is wrong with IN.jsonl for a target, with line, quote and fix.

    Nothing of the file is sent; a server that is named by its URL is asked which models it serves.
    The exit code is 0, or 3 where the target would refuse a file.
    """
    form = "json" if as_json else form
    invalid = False
    served = models or _served_at(getattr(target, "url", ""))
    for source in sources:
        fixed = _fix(source, targets.TARGETS[target]) if fixing else None
        report = checking.check(
            partial(reading.chunks_of, source),
            targets.TARGETS[target],
            endpoint=endpoint,
            known_model=served.__contains__ if served else None,
            served=served,
            enqueued_tokens_max=max_enqueued_tokens,
        )
        _show(source, report, form, fixed)
        invalid |= bool(report.errors or (strict and report.warnings))
    sys.exit(_INVALID if invalid else 0)


def _served_at(url: str) -> tuple[str, ...]:
    """The models that a server serves, as it says itself; none where any model may be its."""
    if not url:
        return ()
    try:
        listed = asyncio.run(remotes.models_at(aim_for(url)))
    except provider.ProviderError as error:
        click.echo(f"{url} does not say what it serves: {clean(error)}", err=True)
        return ()
    return () if listed.any_model else tuple(one.id for one in listed.models)


def _fix(source: Path, target: Target) -> Counter[str]:
    """Repair a file where it stands, and keep what it was beside it; the changes by their code."""
    kept = source.with_name(f"{source.name}.orig")
    if kept.exists():
        raise click.ClickException(f"{kept} exists already; remove it, or use `batchyard fix`.")
    told = Told(source, err=True)
    beside = source.with_name(f"{source.name}.fixed")
    with published(beside) as out:
        repair(source, target, None, out, told)
    if told.counts:
        kept.hardlink_to(source)
        beside.replace(source)
        click.echo(f"{source}: changes: {told.counts.total():,}; before: {kept}", err=True)
    beside.unlink(missing_ok=True)
    return told.counts


def _show(source: Path, report: Report, form: str, fixed: Counter[str] | None) -> None:
    if form == "json":
        told = {} if fixed is None else {"fixed": fixed}
        sound = not report.errors
        tell_json({"file": str(source), "sound": sound, **told, "report": report})
        return
    show = as_github if form == "github" else as_text
    for line in show(source, report.findings):
        click.echo(line)
    counts = [f"{len(report.errors):,} error{'' if len(report.errors) == 1 else 's'}"]
    if report.warnings:
        counts.append(f"{len(report.warnings):,} warning{'' if len(report.warnings) == 1 else 's'}")
    models = clean(", ".join(f"'{model}'" for model in report.models if model))
    click.echo(
        f"{source}: {' and '.join(counts)} for {report.target}; {report.requests:,} requests, "
        f"{report.bytes:,} bytes, about {report.input_tokens:,} input tokens"
        + (f", {models}" if models else ""),
        err=True,
    )
