"""One line from a table of things to a table of answers: classify, extract, embed and others."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Unpack

from batchyard.client.building import requests
from batchyard.client.building.requests import Request
from batchyard.client.building.rows import Row
from batchyard.client.building.schema import format_of
from batchyard.client.results.answering import Reading
from batchyard.client.tabular.asking import (
    ID,
    ChatTerms,
    EmbeddingTerms,
    Text,
    chat_of,
    choice,
    labels_of,
    parted,
    text_of,
)
from batchyard.client.tabular.rowwise import RowCampaign
from batchyard.client.tabular.starting import Asking, start

__all__ = ["classify", "embed", "extract", "generate", "translate"]


def classify(
    rows: Any,
    labels: Iterable[str] | Mapping[str, str] | type[Enum],
    *,
    model: str,
    text: Text = None,
    instructions: str | None = None,
    multiple: bool = False,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """One of the labels for each row, or with `multiple` any number of them, in column `label`.

    `labels` may be an Enum, and may say what each means. `text` is the column that is classified,
    a template such as "{title}: {body}", or what makes a text of a row; the column `text` unless
    given.
    """
    names = labels_of(labels)
    column = "labels" if multiple else "label"
    meanings = [
        f"- {name}: {labels[name]}" if isinstance(labels, Mapping) else f"- {name}"
        for name in names
    ]
    how_many = "all labels that fit, or none" if multiple else "the one label that fits best"
    told = f"{instructions or 'Classify the text.'}\nAnswer with {how_many}:\n"
    options, own = parted(terms)
    options.setdefault("response_format", choice(names, column))
    ask = chat_of(model, told + "\n".join(meanings), text, options)
    reading = Reading(kind="classify", column=column, labels=names, multiple=multiple)
    return start(Asking(rows, ask, reading), own)


def extract(
    rows: Any,
    shape: Any,
    *,
    model: str,
    text: Text = None,
    instructions: str | None = None,
    strict: bool = True,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """What the text of each row says, as a Pydantic model, dataclass, TypedDict or JSON Schema.

    Its fields become columns; `answers()` gives the models. See `classify` for `text`. With
    `strict=False` the schema goes as it is, as it must where an object has free keys.
    """
    told = instructions or "Extract from the text what is asked for; invent nothing."
    options, own = parted(terms)
    wanted = format_of(shape, strict=strict)
    options.setdefault("response_format", wanted.for_chat())
    ask = chat_of(model, told, text, options)
    reading = Reading(kind="extract", schema=wanted.schema)
    typed = None if isinstance(shape, Mapping) else shape
    return start(Asking(rows, ask, reading, shape=typed), own)


def generate(
    rows: Any,
    template: Text = None,
    *,
    model: str,
    instructions: str | None = None,
    column: str = "answer",
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """A text for each row, in column `answer`; `template` is the prompt, as in "Sum up: {body}"."""
    options, own = parted(terms)
    ask = chat_of(model, instructions, template, options)
    return start(Asking(rows, ask, Reading(kind="generate", column=column)), own)


def translate(
    rows: Any,
    into: str,
    *,
    model: str,
    text: Text = None,
    instructions: str | None = None,
    keep_placeholders: bool = True,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """The text of each row in another language, in column `translation`.

    An answer that lost a placeholder, tag or address of its text is asked again, unless
    `keep_placeholders=False`; see `batchyard.client.results.placeholders` for what is one.
    """
    told = (
        f"Translate the text into {into}. Answer with the translation alone. "
        "Keep placeholders, markup and line breaks as they are."
    )
    told = f"{told}\n{instructions}" if instructions else told
    options, own = parted(terms)
    ask = chat_of(model, told, text, options)
    reading = Reading(kind="translate", column="translation", placeholders=keep_placeholders)
    return start(Asking(rows, ask, reading), own)


def embed(
    texts: Any,
    *,
    model: str,
    text: Text = None,
    per_line: int | None = None,
    **terms: Unpack[EmbeddingTerms],
) -> RowCampaign:
    """The vector of each text, in column `embedding`; many texts go in one line.

    `per_line` says how many at most: 2,048 unless given, and 64 where `to` is a server of one's
    own, which may compute one line after the other.
    """
    if per_line is not None and per_line < 1:
        raise ValueError(f"per_line is at least 1, not {per_line}.")
    options, own = parted(terms)
    fill = text_of(text)

    def ask(row: Row) -> Request | None:
        said = fill(row)
        if not said.strip():
            return None
        return requests.embeddings(ID, model=model, input=said, **options)

    reading = Reading(kind="embed", column="embedding")
    return start(Asking(texts, ask, reading, packed=True, per_line=per_line), own)
