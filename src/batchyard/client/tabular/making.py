"""Rows of a table to the lines of a batch file, as a prompt, a schema and options say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from msgspec import Struct

from batchyard.client.building.parameters import ParameterError
from batchyard.client.building.requests import Request
from batchyard.client.building.rows import Row, chat_rows, embedding_rows, response_rows
from batchyard.client.building.schema import SchemaError
from batchyard.client.building.template import TemplateError
from batchyard.client.building.writing import DuplicateIdError, Seen
from batchyard.client.tables import TableError

__all__ = ["Kind", "MakeError", "Recipe", "make"]

Kind = Literal["chat", "responses", "embeddings"]

_FAULTS = (KeyError, ParameterError, SchemaError, TableError, TemplateError, ValueError)


class MakeError(ValueError):
    """A row of which no request can be made; `row` counts rows from 1."""

    def __init__(self, text: str, row: int) -> None:
        super().__init__(text)
        self.row = row


class Recipe(Struct, frozen=True, kw_only=True):
    """What is asked of each row.

    `prompt` is a template, what renders, or messages of such; `instructions` go before it. `key`
    names the columns that make the custom_id; without it the content does. With `once`, a row
    whose custom_id there is already makes nothing.
    """

    model: str
    prompt: Any
    kind: Kind = "chat"
    instructions: Any = None
    key: Sequence[str] = ()
    shape: Any = None
    parameters: Mapping[str, Any] = {}
    once: bool = False


def make(rows: Iterable[Row], recipe: Recipe, first: int | None = None) -> Iterator[Request]:
    """A request for each row, or for the first so many; raises MakeError for a row that has none.

    No custom_id comes twice: of rows that would have the same, the second is told.
    """
    read = 0

    def counted() -> Iterator[Row]:
        nonlocal read
        for row in islice(rows, first):
            read += 1
            yield row

    seen = Seen()
    try:
        for made in _requests(counted(), recipe):
            if seen.add(made.custom_id):
                yield made
            elif not recipe.once:
                raise DuplicateIdError(_twice(made.custom_id, recipe))
    except _FAULTS as error:
        # A KeyError shows its text in quotes.
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise MakeError(text, read) from error


def _requests(rows: Iterator[Row], recipe: Recipe) -> Iterator[Request]:
    key = list(recipe.key) if len(recipe.key) > 1 else next(iter(recipe.key), None)
    options: dict[str, Any] = dict(recipe.parameters)
    if recipe.kind == "embeddings":
        return embedding_rows(
            rows, model=recipe.model, input=recipe.prompt, custom_id=key, **options
        )
    if recipe.kind == "responses":
        if recipe.instructions is not None:
            options["instructions"] = recipe.instructions
        if recipe.shape is not None:
            options["text_format"] = recipe.shape
        return response_rows(
            rows, model=recipe.model, input=recipe.prompt, custom_id=key, **options
        )
    if recipe.shape is not None:
        options["response_format"] = recipe.shape
    return chat_rows(rows, model=recipe.model, messages=_messages(recipe), custom_id=key, **options)


def _messages(recipe: Recipe) -> list[Any]:
    asked = recipe.prompt
    if not isinstance(asked, list):
        asked = [{"role": "user", "content": asked}]
    if recipe.instructions is not None:
        asked = [{"role": "system", "content": recipe.instructions}, *asked]
    return asked


def _twice(custom_id: str, recipe: Recipe) -> str:
    if not recipe.key:
        return "It asks the same as an earlier row. Leave such rows out with --once, or give --id."
    told = ", ".join(recipe.key)
    return (
        f"Its custom_id '{custom_id}', of {told}, is that of an earlier row too. "
        "Give more columns with --id, or leave such rows out with --once."
    )
