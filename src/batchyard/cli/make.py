"""`batchyard make`: a table becomes a file of requests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import COUNTED, OUTPUT, clean, json_option, tell_json
from batchyard.cli.output import noted, published
from batchyard.cli.road import labels_of, shape_of, template_of, text_of

with lazily():
    import json

    from batchyard.client import tables
    from batchyard.client.building import requests
    from batchyard.client.examining import editing
    from batchyard.client.tabular import making

if TYPE_CHECKING:
    from batchyard.client.tabular.making import Kind


__all__ = ["make"]

_INVALID = 3
# Written out, for tables take long to load; a test holds them to what there is.
_KINDS: tuple[Kind, ...] = ("chat", "responses", "embeddings")
_FORMS = ("csv", "tsv", "jsonl", "json", "text", "parquet", "duckdb", "sqlite")
_OWN = frozenset({"model", "messages", "input", "response_format", "text_format", "instructions"})


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--model", required=True, metavar="MODEL", help="The model that is asked.")
@click.option(
    "--template",
    "--prompt",
    metavar="TEXT|FILE",
    help="What is asked, {text} unless given; .j2 is Jinja, .json a list of messages.",
)
@click.option(
    "--instructions", "--system", metavar="TEXT|FILE", help="What the model is told before it."
)
@click.option("--schema", metavar="FILE.json|MODULE:NAME", help="What answers must be.")
@click.option(
    "--id", "key", metavar="COLUMN,...", help="Columns that make the custom_id; else the content."
)
@click.option(
    "--endpoint",
    "kind",
    type=click.Choice(_KINDS),
    default="chat",
    show_default=True,
    help="What is asked for.",
)
@click.option(
    "--set", "assigned", multiple=True, metavar="NAME=VALUE", help="A parameter: temperature=0."
)
@click.option("--once", is_flag=True, help="Leave out rows whose custom_id is there already.")
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N rows.")
@click.option(
    "--kind",
    "form",
    type=click.Choice(_FORMS),
    help="What TABLE is, where its name does not say so.",
)
@click.option("--table", metavar="NAME", help="The table, where TABLE is a database.")
@OUTPUT
@json_option(COUNTED)
def make(
    *,
    source: str,
    form: str | None,
    table: str | None,
    first: int | None,
    output: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Make a request of each row of TABLE: CSV, JSONL, Parquet, a database, or - for stdin.

    Only a name in single braces is a field; all other braces are text. Nothing is sent.
    """
    recipe = _recipe(**asked)
    lines = 0
    try:
        rows = tables.rows_of(source, kind=form, table=table)
        with noted(), published(output) as out:
            for request in making.make(rows, recipe, first):
                out.write(requests.encode(request) + b"\n")
                lines += 1
    except making.MakeError as error:
        place = f"{source}, row {error.row}: " if error.row else f"{source}: "
        click.echo(f"{place}{clean(error)}", err=True)
        sys.exit(_INVALID)
    except (tables.TableError, tables.MissingExtraError) as error:
        raise click.ClickException(str(error)) from error
    if as_json and output is not None:
        tell_json({"file": str(output), "requests": lines})
    click.echo(f"{output or source}: {lines:,} requests", err=True)


def _recipe(
    *,
    model: str,
    template: str | None,
    instructions: str | None,
    schema: str | None,
    kind: Kind,
    key: str | None,
    assigned: tuple[str, ...],
    once: bool,
) -> making.Recipe:
    if kind == "embeddings" and (schema or instructions):
        raise click.UsageError("Embeddings have no --schema and no --instructions.")
    try:
        return making.Recipe(
            model=model,
            prompt=_prompt(template or "{text}"),
            kind=kind,
            instructions=template_of(instructions) if instructions else None,
            key=labels_of(key or ""),
            shape=shape_of(schema) if schema else None,
            parameters=dict(map(_parameter, assigned)),
            once=once,
        )
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _prompt(word: str) -> Any:
    if Path(word).suffix != ".json":
        return template_of(word)
    messages = json.loads(text_of(word))
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ValueError(f"{word} is no list of messages.")
    return messages


def _parameter(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    name = name.removeprefix("body.")
    if not mark or not name or "." in name:
        raise click.UsageError(f"Write --set NAME=VALUE, not '{text}'.")
    if name in _OWN:
        raise click.UsageError(f"'{name}' is not for --set; it has an option of its own.")
    return name, editing.value_of(value)
