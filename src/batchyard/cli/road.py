"""The options of `batchyard run --to`, and what their words mean."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from batchyard.cli.aims import TO
from batchyard.cli.lazily import lazily
from batchyard.cli.options import STRICT, json_option
from batchyard.cli.remote import FOLDER

with lazily():
    import json

    from batchyard.client.building import template as templates


__all__ = [
    "Road",
    "labels_of",
    "named_in_module",
    "scorer_of",
    "shape_of",
    "template_of",
    "text_of",
    "with_road",
]

# No file has a longer name.
_NAME_CHARACTERS = 255
_JINJA = (".j2", ".jinja", ".jinja2")
# Of a file that is not there nobody means the name.
_SUFFIXES = (*_JINJA, ".json", ".md", ".txt")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    TO,
    click.option("--template", metavar="TEXT|FILE", help="Ask this of each row: 'Sum up {body}'."),
    click.option("--labels", metavar="A,B,...", help="Give each row one of these labels."),
    click.option("--schema", metavar="FILE.json|MODULE:NAME", help="Extract this from each row."),
    click.option("--into", metavar="LANGUAGE", help="Translate each row."),
    click.option("--embed", is_flag=True, help="Embed each row."),
    click.option("--per-line", type=click.IntRange(min=1), metavar="N", help="Texts in a call."),
    click.option(
        "--model", "models", multiple=True, metavar="NAME", help="Which model; several compare."
    ),
    click.option("--text", metavar="COLUMN|TEXT", help="The text of a row; `text` unless given."),
    click.option("--instructions", metavar="TEXT|FILE", help="What the model is told."),
    click.option("--id", "id_", metavar="COLUMN,...", help="What names a row; else its number."),
    click.option("--gold", metavar="COLUMN", help="The column of right answers."),
    click.option(
        "--scorer",
        metavar="NAME|MODULE:NAME",
        help="What is right: exact, contains, regex, number, json, or your own.",
    ),
    click.option(
        "--no-placeholders", is_flag=True, help="Take translations that lost a placeholder."
    ),
    click.option(
        "--report",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write a page on how it went.",
    ),
    click.option("--dry-run", is_flag=True, help="Show requests, plan and price; submit nothing."),
    click.option("--canary", type=click.IntRange(min=1), metavar="N", help="Try N rows first."),
    click.option("-y", "--yes", is_flag=True, help="Go on after the canary without asking."),
    click.option("--max-usd", type=click.FloatRange(min=0), help="Submit nothing over this."),
    click.option("--no-dedupe", is_flag=True, help="Ask for each row, the same or not."),
    click.option("--no-cache", is_flag=True, help="Ask what earlier campaigns have asked, too."),
    click.option(
        "--folder",
        metavar="DIR|URL",
        type=FOLDER,
        help="The campaign's folder, or a URL: s3://...",
    ),
    click.option("--rounds", type=click.IntRange(min=1), metavar="N", help="Most tries; 3."),
    click.option(
        "--poll", type=click.FloatRange(min=0.01), metavar="SECONDS", help="How often to look."
    ),
    STRICT,
    json_option("Say the end in JSON."),
)


class Road(NamedTuple):
    """What was said on the command line of what `--to` needs."""

    to: str | None
    template: str | None
    labels: str | None
    schema: str | None
    into: str | None
    embed: bool
    per_line: int | None
    models: tuple[str, ...]
    text: str | None
    instructions: str | None
    id_: str | None
    gold: str | None
    scorer: str | None
    no_placeholders: bool
    report: Path | None
    dry_run: bool
    canary: int | None
    yes: bool
    max_usd: float | None
    no_dedupe: bool
    no_cache: bool
    folder: Path | str | None
    rounds: int | None
    poll: float | None
    strict: bool
    as_json: bool

    @property
    def is_spoken_of(self) -> bool:
        """Whether anything was said that only this road knows."""
        return any(bool(one) for name, one in self._asdict().items() if name != "strict")

    @property
    def wants_rows(self) -> bool:
        """Whether the file is a table, and not requests."""
        named = (self.template, self.labels, self.schema, self.into, self.embed)
        return any(bool(one) for one in named) or len(self.models) > 1


def with_road(command: _Command) -> _Command:
    """The command with the options of this road."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def labels_of(words: str) -> list[str]:
    """Labels between commas."""
    return [word.strip() for word in words.split(",") if word.strip()]


def template_of(word: str) -> Any:
    """A template, as it stands or in a file; one in Jinja's language by the suffix of the file."""
    if Path(word).suffix in _JINJA:
        try:
            jinja: Any = importlib.import_module("batchyard.client.building.jinja")
        except ImportError as error:
            raise click.ClickException(
                "A template in Jinja's language needs: pip install 'batchyard[jinja]'"
            ) from error
        return jinja.JinjaTemplate(text_of(word))
    return templates.Template(text_of(word))


def text_of(word: str) -> str:
    """A text, or that of the file which it names."""
    path = Path(word)
    if "\n" in word or len(word) > _NAME_CHARACTERS:
        return word
    if not path.is_file():
        if path.suffix in _SUFFIXES and not set(word) & set(" {"):
            raise click.UsageError(f"There is no file {word}.")
        return word
    return path.read_text(encoding="utf-8").removesuffix("\n")


def shape_of(word: str) -> Any:
    """A JSON Schema in a file, or a type in a module of the current folder."""
    if word.endswith(".json"):
        return json.loads(Path(word).read_text(encoding="utf-8"))
    if ":" not in word:
        raise click.BadParameter("write FILE.json or MODULE:NAME", param_hint="--schema")
    return named_in_module(word, "--schema")


def scorer_of(word: str | None) -> Any:
    """A scorer by its name, or a judge or function in a module of the current folder."""
    if word is None or ":" not in word:
        return word or "exact"
    return named_in_module(word, "--scorer")


def named_in_module(word: str, option: str) -> Any:
    """What MODULE:NAME names, also in a module of the current folder."""
    module, colon, name = word.partition(":")
    if not colon:
        raise click.BadParameter("write MODULE:NAME", param_hint=option)
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    finally:
        sys.path.pop(0)
