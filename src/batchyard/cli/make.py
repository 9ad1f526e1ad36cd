"""`batchyard make`: a table becomes a file of requests."""

import sys
from pathlib import Path
from typing import Any, get_args

import click

from batchyard.cli.options import OUTPUT
from batchyard.cli.output import noted, published
from batchyard.client.editing import value_of
from batchyard.client.making import Kind, MakeError, Recipe, shape_from, template_from
from batchyard.client.making import make as requests_of
from batchyard.client.requests import encode
from batchyard.client.tables import MissingExtraError, TableError, rows_of
from batchyard.client.tables.sources import SUFFIXES

__all__ = ["make"]

_INVALID = 3
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OWN = frozenset({"model", "messages", "input", "response_format", "text_format", "instructions"})


@click.command()
@click.argument("source", metavar="TABLE")
@click.option("--model", required=True, metavar="MODEL", help="The model that is asked.")
@click.option(
    "--prompt", metavar="TEXT", help="What is asked, with {columns}; {text} unless given."
)
@click.option(
    "--template",
    type=_FILE,
    metavar="FILE",
    help="The prompt from a file: .j2 is Jinja, .json a list of messages.",
)
@click.option("--system", metavar="TEXT", help="What goes before the prompt, with {columns}.")
@click.option("--schema", metavar="MODULE:NAME", help="What answers must be, or a .json schema.")
@click.option(
    "--id", "key", metavar="COLUMN,...", help="Columns that make the custom_id; else the content."
)
@click.option(
    "--endpoint",
    "kind",
    type=click.Choice(get_args(Kind)),
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
    type=click.Choice(list(dict.fromkeys(SUFFIXES.values()))),
    help="What TABLE is, where its name does not say so.",
)
@click.option("--table", metavar="NAME", help="The table, where TABLE is a database.")
@OUTPUT
def make(
    *,
    source: str,
    form: str | None,
    table: str | None,
    first: int | None,
    output: Path | None,
    **asked: Any,
) -> None:
    """Make a request of each row of TABLE: CSV, JSONL, Parquet, a database, or - for stdin.

    Only a name in single braces is a field; all other braces are text. Nothing is sent.
    """
    recipe = _recipe(**asked)
    lines = 0
    try:
        rows = rows_of(source, kind=form, table=table)
        with noted(), published(output) as out:
            for request in requests_of(rows, recipe, first):
                out.write(encode(request) + b"\n")
                lines += 1
    except MakeError as error:
        place = f"{source}, row {error.row}: " if error.row else f"{source}: "
        click.echo(f"{place}{error}", err=True)
        sys.exit(_INVALID)
    except (TableError, MissingExtraError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output or source}: {lines:,} requests", err=True)


def _recipe(
    *,
    model: str,
    prompt: str | None,
    template: Path | None,
    system: str | None,
    schema: str | None,
    kind: Kind,
    key: str | None,
    assigned: tuple[str, ...],
    once: bool,
) -> Recipe:
    if prompt is not None and template is not None:
        raise click.UsageError("Give --prompt or --template, not both.")
    if kind == "embeddings" and (schema or system):
        raise click.UsageError("Embeddings have no --schema and no --system.")
    if schema is not None:
        # As `python -m` does: modules beside the user are found.
        sys.path.insert(0, str(Path.cwd()))
    try:
        return Recipe(
            model=model,
            prompt=template_from(template) if template else prompt or "{text}",
            kind=kind,
            system=system,
            key=[one.strip() for one in key.split(",")] if key else (),
            shape=None if schema is None else shape_from(schema),
            parameters=dict(map(_parameter, assigned)),
            once=once,
        )
    except ModuleNotFoundError as error:
        raise click.ClickException(
            "A template in Jinja wants jinja2: pip install 'batchyard[jinja]'"
        ) from error
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _parameter(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    name = name.removeprefix("body.")
    if not mark or not name or "." in name:
        raise click.UsageError(f"Write --set NAME=VALUE, not '{text}'.")
    if name in _OWN:
        raise click.UsageError(f"'{name}' is not for --set; it has an option of its own.")
    return name, value_of(value)
