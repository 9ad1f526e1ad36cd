"""One line from a table of things to a table of answers: classify, extract, embed and others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Unpack

from batchyard.client.building import requests
from batchyard.client.building.requests import ChatOptions, EmbeddingOptions, Request
from batchyard.client.building.rows import Row, key_of
from batchyard.client.building.schema import format_of
from batchyard.client.building.template import Template, shown
from batchyard.client.results.answering import Reading
from batchyard.client.tables import Table, table_of
from batchyard.client.tabular.rowwise import RowCampaign
from batchyard.client.tabular.starting import Asking, Terms, start

__all__ = ["classify", "embed", "evaluate", "extract", "generate", "translate"]

Text = str | Callable[[Row], str] | None
_ID = "-"


class ChatTerms(Terms, ChatOptions, total=False):
    """What one-liners that chat take: the terms of all, and parameters of the endpoint."""


class EmbeddingTerms(Terms, EmbeddingOptions, total=False):
    """What `embed` takes: the terms of all, and parameters of the endpoint."""


def classify(
    rows: Any,
    labels: Sequence[str] | Mapping[str, str],
    *,
    model: str,
    text: Text = None,
    instructions: str | None = None,
    multiple: bool = False,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """One of the labels for each row, or with `multiple` any number of them, in column `label`.

    `labels` may say what each means. `text` is the column that is classified, a template such as
    "{title}: {body}", or what makes a text of a row; the column `text` unless given.
    """
    names = tuple(labels)
    if len(set(names)) < len(names) or not names:
        raise ValueError("There must be labels, each once.")
    column = "labels" if multiple else "label"
    meanings = [
        f"- {name}: {labels[name]}" if isinstance(labels, Mapping) else f"- {name}"
        for name in names
    ]
    how_many = "all labels that fit, or none" if multiple else "the one label that fits best"
    told = f"{instructions or 'Classify the text.'}\nAnswer with {how_many}:\n"
    options, own = _parted(terms)
    options.setdefault("response_format", _choice(names, column))
    ask = _chat(model, told + "\n".join(meanings), text, options)
    reading = Reading(kind="classify", column=column, labels=names, multiple=multiple)
    return start(Asking(rows, ask, reading), own)


def extract(
    rows: Any,
    shape: Any,
    *,
    model: str,
    text: Text = None,
    instructions: str | None = None,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """What the text of each row says, as a Pydantic model, dataclass, TypedDict or JSON Schema.

    Its fields become columns; `answers()` gives the models. See `classify` for `text`.
    """
    told = instructions or "Extract from the text what is asked for; invent nothing."
    options, own = _parted(terms)
    wanted = format_of(shape)
    options.setdefault("response_format", wanted.for_chat())
    ask = _chat(model, told, text, options)
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
    options, own = _parted(terms)
    ask = _chat(model, instructions, template, options)
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
    options, own = _parted(terms)
    ask = _chat(model, told, text, options)
    reading = Reading(kind="translate", column="translation", placeholders=keep_placeholders)
    return start(Asking(rows, ask, reading), own)


def embed(
    texts: Any, *, model: str, text: Text = None, **terms: Unpack[EmbeddingTerms]
) -> RowCampaign:
    """The vector of each text, in column `embedding`; many texts go in one line."""
    options, own = _parted(terms)
    fill = _text_of(text)

    def ask(row: Row) -> Request | None:
        said = fill(row)
        if not said.strip():
            return None
        return requests.embeddings(_ID, model=model, input=said, **options)

    reading = Reading(kind="embed", column="embedding")
    return start(Asking(texts, ask, reading, packed=True), own)


def evaluate(
    cases: Any,
    models: Sequence[str],
    *,
    text: Text = None,
    expected: str = "expected",
    labels: Sequence[str] = (),
    instructions: str | None = None,
    **terms: Unpack[ChatTerms],
) -> RowCampaign:
    """The answer of each model to each case, with `correct` where it is the expected one.

    The result has a row for each case and model. With `labels` answers are read as one of them.
    `scores()` tells how many each model has right.
    """
    options, own = _parted(terms)
    if labels:
        options.setdefault("response_format", _choice(tuple(labels), "label"))
    fill = _text_of(text)
    key, table = own.get("id"), table_of(cases)

    def expanded() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(table.rows(), 1):
            if key is None:
                name = f"case-{number:06d}"
            else:
                name = str(key(row)) if callable(key) else key_of(row, key)
            for model in models:
                yield {**row, "model": model, "case": name}

    def ask(row: Row) -> Request | None:
        said = fill(row)
        if not said.strip():
            return None
        messages = _messages(instructions, said)
        return requests.chat(_ID, model=row["model"], messages=messages, **options)

    own["id"] = ["case", "model"]
    reading = Reading(kind="evaluate", labels=tuple(labels), expected=expected)
    return start(Asking(Table(table.kind, expanded, types=table.types), ask, reading), own)


def _choice(labels: tuple[str, ...], column: str) -> dict[str, Any]:
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


def _parted(terms: Mapping[str, Any]) -> tuple[dict[str, Any], Terms]:
    """Parameters of the endpoint, and terms of ours."""
    own: Any = {name: one for name, one in terms.items() if name in Terms.__annotations__}
    return {name: one for name, one in terms.items() if name not in own}, own


def _chat(
    model: str, instructions: str | None, text: Text, options: dict[str, Any]
) -> Callable[[Row], Request | None]:
    fill = _text_of(text)

    def ask(row: Row) -> Request | None:
        said = fill(row)
        if not said.strip():
            return None
        messages = _messages(instructions, said)
        return requests.chat(_ID, model=model, messages=messages, **options)

    return ask


def _messages(instructions: str | None, text: str) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": text}]
    return [{"role": "system", "content": instructions}, *asked] if instructions else asked


def _text_of(text: Text) -> Callable[[Row], str]:
    """What makes the text of a row."""
    if text is None:
        return _only_text
    if not isinstance(text, str):
        return text.render if hasattr(text, "render") else text
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
