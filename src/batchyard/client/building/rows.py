"""Rows of a table to requests, one for each row."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any, Protocol, Unpack

from msgspec.structs import replace

from batchyard.client.building import requests
from batchyard.client.building.requests import (
    ChatOptions,
    EmbeddingOptions,
    Request,
    ResponseOptions,
    overridden,
)
from batchyard.client.building.template import Template, shown

__all__ = [
    "Row",
    "Templated",
    "as_row",
    "chat_rows",
    "content_id",
    "embedding_rows",
    "key_of",
    "response_rows",
]

Row = Mapping[str, Any]
Key = str | Sequence[str] | Callable[[Row], Any] | None
Options = Callable[[Row], Mapping[str, Any]] | None


class Templated(Protocol):
    """What makes a text of a row."""

    def render(self, row: Row) -> str:
        """The text of a row."""


def chat_rows(
    rows: Iterable[Any],
    *,
    model: str,
    messages: Any,
    custom_id: Key = None,
    options: Options = None,
    **parameters: Unpack[ChatOptions],
) -> Iterator[Request]:
    """A chat completion for each row.

    `messages` are a template, messages whose contents are templates, or what makes messages of a
    row. `custom_id` names a column, or several, or is what makes one of a row; without it the
    request's content is the key. `options` gives the parameters of a row alone.
    """
    fill = _filler(messages)
    for row in map(as_row, rows):
        id = _id_of(row, custom_id)
        made = requests.chat(id, model=model, messages=fill(row), **parameters)
        yield _finished(made, row, custom_id, options)


def response_rows(
    rows: Iterable[Any],
    *,
    model: str,
    input: Any,
    custom_id: Key = None,
    options: Options = None,
    **parameters: Unpack[ResponseOptions],
) -> Iterator[Request]:
    """A response for each row; `input` and `instructions` may be templates. See `chat_rows`."""
    fill = _filler(input)
    instruct = _filler(parameters.pop("instructions", None))
    for row in map(as_row, rows):
        told = instruct(row)
        if told is not None:
            parameters["instructions"] = told
        id = _id_of(row, custom_id)
        made = requests.responses(id, model=model, input=fill(row), **parameters)
        yield _finished(made, row, custom_id, options)


def embedding_rows(
    rows: Iterable[Any],
    *,
    model: str,
    input: Any = "{text}",
    custom_id: Key = None,
    options: Options = None,
    **parameters: Unpack[EmbeddingOptions],
) -> Iterator[Request]:
    """Embeddings for each row, one line each; `pack` puts many inputs into a line."""
    fill = _filler(input)
    for row in map(as_row, rows):
        id = _id_of(row, custom_id)
        made = requests.embeddings(id, model=model, input=fill(row), **parameters)
        yield _finished(made, row, custom_id, options)


def as_row(given: Any) -> Row:
    """A row by its column names; of a text alone the name is `text`."""
    if type(given) is dict or isinstance(given, Mapping):
        return given
    if isinstance(given, str):
        return {"text": given}
    if hasattr(given, "_asdict"):
        named: Row = given._asdict()
        return named
    if hasattr(given, "model_dump"):
        dumped: Row = given.model_dump()
        return dumped
    if is_dataclass(given):
        return {one.name: getattr(given, one.name) for one in fields(given)}
    raise TypeError(f"A row must be a mapping, a record or a text, not {given!r}.")


def key_of(row: Row, key: str | Sequence[str]) -> str:
    """The custom_id that a column, or several together, give; none of it may be empty."""
    parts = []
    for name in (key,) if isinstance(key, str) else key:
        if name not in row:
            raise KeyError(f"The row has no column '{name}'; it has {', '.join(map(str, row))}.")
        part = shown(row[name])
        if not part:
            raise ValueError(f"The column '{name}' is empty in {dict(row)!r}; it gives no key.")
        # So that ("a:b", "c") and ("a", "b:c") differ.
        parts.append(part if isinstance(key, str) else part.replace("%", "%25").replace(":", "%3A"))
    return ":".join(parts)


def content_id(request: Request) -> str:
    """A custom_id made of what is asked: the same for the same request, on any machine."""
    asked = requests.encode(replace(request, custom_id=""))
    return f"c-{blake2b(asked, digest_size=16).hexdigest()}"


def _id_of(row: Row, key: Key) -> requests.CustomId:
    """The custom_id of a row; a stand-in where the request's content is the key."""
    if key is None:
        return "-"
    if callable(key):
        given: requests.CustomId = key(row)
        return given
    return key_of(row, key)


def _finished(made: Request, row: Row, key: Key, options: Options) -> Request:
    if options is not None:
        made = overridden(made, options(row))
    return replace(made, custom_id=content_id(made)) if key is None else made


class _Same:
    """Fills in what has nothing to be filled in."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, _row: Row) -> Any:
        return self.given


def _filler(given: Any) -> Callable[[Row], Any]:
    """What makes of a row the same as given, with its templates filled in."""
    if isinstance(given, str):
        template = Template(given)
        return _Same(template.render({})) if template.is_plain else template.render
    if hasattr(given, "render"):
        renders: Callable[[Row], Any] = given.render
        return renders
    if callable(given):
        makes: Callable[[Row], Any] = given
        return makes
    if isinstance(given, Mapping):
        # Only these hold text that is meant for the model.
        inner = {
            name: _filler(one)
            for name, one in given.items()
            if name in ("content", "text") and one is not None
        }
        if all(isinstance(fill, _Same) for fill in inner.values()):
            return _Same(_filled(given, inner, {}))
        return lambda row: _filled(given, inner, row)
    if isinstance(given, list | tuple):
        each = [_filler(one) for one in given]
        return lambda row: [fill(row) for fill in each]
    return _Same(given)


def _filled(given: Row, inner: Mapping[str, Callable[[Row], Any]], row: Row) -> dict[str, Any]:
    made = dict(given)
    for name, fill in inner.items():
        made[name] = fill(row)
    return made
