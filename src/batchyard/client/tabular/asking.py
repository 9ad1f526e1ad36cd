"""What one-liners have in common: parameters, the text of a row, and a request that asks of it."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from batchyard.client.building import requests
from batchyard.client.building.requests import ChatOptions, EmbeddingOptions, Request
from batchyard.client.building.rows import Row
from batchyard.client.building.schema import format_of
from batchyard.client.building.template import Template, shown
from batchyard.client.tabular.starting import Terms

__all__ = [
    "ID",
    "ChatTerms",
    "EmbeddingTerms",
    "Text",
    "chat_of",
    "choice",
    "labels_of",
    "messages_of",
    "parted",
    "text_of",
]

Text = str | Callable[[Row], str] | None
# What a request is called until its row gives it a name.
ID = "-"


class ChatTerms(Terms, ChatOptions, total=False):
    """What one-liners that chat take: the terms of all, and parameters of the endpoint."""


class EmbeddingTerms(Terms, EmbeddingOptions, total=False):
    """What `embed` takes: the terms of all, and parameters of the endpoint."""


def choice(labels: tuple[str, ...], column: str) -> dict[str, Any]:
    """The format of an answer that is a label, or with the column `labels` a list of them."""
    one: dict[str, Any] = {"type": "string", "enum": list(labels)}
    value = {"type": "array", "items": one} if column == "labels" else one
    schema = {
        "title": "classification",
        "type": "object",
        "properties": {column: value},
        "required": [column],
        "additionalProperties": False,
    }
    return format_of(schema).for_chat()


def labels_of(given: Any) -> tuple[str, ...]:
    """Labels of a list, a mapping, a set or an Enum, each once; ValueError for what is none."""
    if isinstance(given, str):
        raise ValueError(f"Labels are a list of texts, not one: write [{given!r}, ...].")
    # A set has another order in every process, and would be another question.
    listed = sorted(given) if isinstance(given, set | frozenset) else list(given)
    names = [one.value if isinstance(one, Enum) else one for one in listed]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"A label must be a text that is not blank, unlike {name!r}.")
    if len(set(names)) < len(names) or not names:
        raise ValueError("There must be labels, each once.")
    return tuple(names)


def parted(terms: Mapping[str, Any]) -> tuple[dict[str, Any], Terms]:
    """Parameters of the endpoint, and terms of ours."""
    own: Any = {name: one for name, one in terms.items() if name in Terms.__annotations__}
    return {name: one for name, one in terms.items() if name not in own}, own


def chat_of(
    model: str, instructions: str | None, text: Text, options: dict[str, Any]
) -> Callable[[Row], Request | None]:
    """What asks a model of a row; None of a row without a text."""
    fill = text_of(text)

    def ask(row: Row) -> Request | None:
        said = fill(row)
        if not said.strip():
            return None
        messages = messages_of(instructions, said)
        return requests.chat(ID, model=model, messages=messages, **options)

    return ask


def messages_of(instructions: str | None, text: str) -> list[dict[str, str]]:
    """A text as messages."""
    asked = [{"role": "user", "content": text}]
    return [{"role": "system", "content": instructions}, *asked] if instructions else asked


def text_of(text: Text) -> Callable[[Row], str]:
    """What makes the text of a row."""
    if text is None:
        return _only_text
    if not isinstance(text, str):
        if hasattr(text, "render"):
            rendered: Callable[[Row], str] = text.render
            return rendered
        # What a function of one's own gives may be None, or a number.
        return lambda row: shown(text(row))
    if "{" in text:
        return Template(text).render
    return lambda row: shown(_column(row, text))


def _only_text(row: Row) -> str:
    if "text" in row:
        return shown(row["text"])
    if len(row) == 1:
        return shown(next(iter(row.values())))
    raise ValueError(f"Say with text= which column is the text: {', '.join(map(str, row))}.")


def _column(row: Row, name: str) -> Any:
    if name not in row:
        raise ValueError(f"The rows have no column '{name}'; they have {', '.join(map(str, row))}.")
    return row[name]
