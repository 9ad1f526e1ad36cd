"""One request of a batch for each endpoint, with the parameters of the SDK; nothing is left out."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec
from msgspec import Struct

from batchyard.client.building.parameters import (
    ChatParameters,
    CompletionParameters,
    EmbeddingParameters,
    ImageParameters,
    ModerationParameters,
    ParameterError,
    ResponseParameters,
    check,
)
from batchyard.client.building.parts import (
    chat_messages,
    chat_tools,
    response_input,
    response_tools,
)
from batchyard.client.building.schema import format_of
from batchyard.rules.limits import STRICT

__all__ = [
    "ChatOptions",
    "CompletionOptions",
    "CustomId",
    "EmbeddingInput",
    "EmbeddingOptions",
    "ImageOptions",
    "ModerationOptions",
    "Request",
    "ResponseOptions",
    "chat",
    "completions",
    "custom_id_of",
    "embeddings",
    "encode",
    "image_edits",
    "images",
    "moderations",
    "overridden",
    "responses",
]

CustomId = str | int
EmbeddingInput = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """One line of a batch file."""

    custom_id: str
    method: str = "POST"
    url: str
    body: dict[str, Any]


class ChatOptions(ChatParameters, total=False):
    """The keyword arguments of such a request."""

    response_format: Any
    tools: Sequence[Any]
    extra_body: Mapping[str, Any]


class ResponseOptions(ResponseParameters, total=False):
    """The keyword arguments of such a request."""

    text_format: Any
    tools: Sequence[Any]
    extra_body: Mapping[str, Any]


class EmbeddingOptions(EmbeddingParameters, total=False):
    """The keyword arguments of such a request."""

    extra_body: Mapping[str, Any]


class CompletionOptions(CompletionParameters, total=False):
    """The keyword arguments of such a request."""

    extra_body: Mapping[str, Any]


class ModerationOptions(ModerationParameters, total=False):
    """The keyword arguments of such a request."""

    extra_body: Mapping[str, Any]


class ImageOptions(ImageParameters, total=False):
    """The keyword arguments of such a request."""

    extra_body: Mapping[str, Any]


def chat(
    custom_id: CustomId,
    *,
    model: str,
    messages: str | Sequence[Any],
    **options: Unpack[ChatOptions],
) -> Request:
    """A request for `/v1/chat/completions`.

    `response_format` may be a type or a JSON Schema; `extra_body` goes in unchecked, last.
    """
    asked: dict[str, Any] = {"model": model, "messages": chat_messages(messages), **_given(options)}
    if "tools" in asked and asked["tools"] is not None:
        asked["tools"] = chat_tools(asked["tools"])
    wanted = asked.get("response_format")
    if wanted is not None and not _is_written(wanted):
        asked["response_format"] = format_of(wanted).for_chat()
    return _request(custom_id, "/v1/chat/completions", asked)


def responses(
    custom_id: CustomId,
    *,
    model: str,
    input: str | Sequence[Any] | None = None,
    **options: Unpack[ResponseOptions],
) -> Request:
    """A request for `/v1/responses`.

    `text_format` may be a type or a JSON Schema; `extra_body` goes in unchecked, last.
    """
    asked: dict[str, Any] = {"model": model}
    if input is not None:
        asked["input"] = response_input(input)
    asked |= _given(options)
    if "tools" in asked and asked["tools"] is not None:
        asked["tools"] = response_tools(asked["tools"])
    wanted = asked.pop("text_format", None)
    if wanted is not None:
        text = asked.get("text") or {}
        if "format" in text:
            raise ParameterError("text_format and text['format'] both say what to answer with.")
        asked["text"] = {
            **text,
            "format": wanted if _is_written(wanted) else format_of(wanted).for_responses(),
        }
    if input is None and "prompt" not in asked and not asked.get("extra_body"):
        raise ParameterError("A response needs an input or a prompt.")
    return _request(custom_id, "/v1/responses", asked)


def embeddings(
    custom_id: CustomId,
    *,
    model: str,
    input: EmbeddingInput,
    **options: Unpack[EmbeddingOptions],
) -> Request:
    """A request for `/v1/embeddings`: a text, texts, or texts as tokens."""
    if not len(input):
        raise ParameterError("The input of embeddings must not be empty.")
    return _request(
        custom_id, "/v1/embeddings", {"model": model, "input": input, **_given(options)}
    )


def completions(
    custom_id: CustomId,
    *,
    model: str,
    prompt: EmbeddingInput,
    **options: Unpack[CompletionOptions],
) -> Request:
    """A request for `/v1/completions`."""
    return _request(
        custom_id, "/v1/completions", {"model": model, "prompt": prompt, **_given(options)}
    )


def moderations(
    custom_id: CustomId,
    *,
    input: str | Sequence[Any],
    **options: Unpack[ModerationOptions],
) -> Request:
    """A request for `/v1/moderations`."""
    return _request(custom_id, "/v1/moderations", {**_given(options), "input": input})


def images(custom_id: CustomId, *, prompt: str, **options: Unpack[ImageOptions]) -> Request:
    """A request for `/v1/images/generations`."""
    return _request(custom_id, "/v1/images/generations", {**_given(options), "prompt": prompt})


def image_edits(custom_id: CustomId, *, prompt: str, **options: Unpack[ImageOptions]) -> Request:
    """A request for `/v1/images/edits`; images go in as `images`, by file id or address."""
    return _request(custom_id, "/v1/images/edits", {**_given(options), "prompt": prompt})


def overridden(request: Request, options: Mapping[str, Any]) -> Request:
    """The request with some parameters of its own; they are checked as any others."""
    options = _given(options)
    if not options:
        return request
    try:
        check(request.url, options)
    except ParameterError as error:
        raise ParameterError(f"{error} (custom_id '{request.custom_id}')") from None
    return msgspec.structs.replace(request, body={**request.body, **options})


def encode(request: Request) -> bytes:
    """The line of a request, without its line feed, in UTF-8."""
    return _encoder.encode(request)


def custom_id_of(given: object) -> str:
    """The custom_id that a key gives, where the server takes it; else raises ParameterError."""
    if type(given) is str and given.isascii() and given.isprintable() and 0 < len(given) <= 256:
        return given
    id = _as_text(given)
    if not id or _CONTROL.search(id) or not _is_short(id):
        raise ParameterError(
            f"The custom_id must have 1 to {STRICT.custom_id_bytes_max:,} bytes in UTF-8 and no "
            f"control characters, unlike {id[:50]!r}."
        )
    return id


_ABSENT = frozenset({"NotGiven", "Omit"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def _request(custom_id: CustomId, url: str, asked: dict[str, Any]) -> Request:
    id = custom_id_of(custom_id)
    extra = asked.pop("extra_body", None)
    try:
        check(url, asked)
    except ParameterError as error:
        raise ParameterError(f"{error} (custom_id '{id}')") from None
    return Request(custom_id=id, url=url, body={**asked, **extra} if extra else asked)


def _given(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what the SDK's own arguments hold where nothing is given."""
    if "openai" not in sys.modules:
        return options
    return {name: one for name, one in options.items() if type(one).__name__ not in _ABSENT}


def _as_text(custom_id: object) -> str:
    """Keys of tables are often whole numbers; anything else is a mistake."""
    if isinstance(custom_id, str) or (
        hasattr(custom_id, "__index__") and not isinstance(custom_id, bool)
    ):
        return str(custom_id)
    raise ParameterError(f"The custom_id must be a string, not {custom_id!r}.")


def _is_short(id: str) -> bool:
    try:
        return len(id.encode()) <= STRICT.custom_id_bytes_max
    except UnicodeEncodeError:
        return False


def _is_written(wanted: Any) -> bool:
    """Whether a format is written as the API wants it already."""
    return (
        not isinstance(wanted, type)
        and isinstance(wanted, Mapping)
        and (wanted.get("type") in ("text", "json_object", "json_schema", "grammar", "regex"))
    )


def _plain(value: Any) -> Any:
    """What a foreign value is in JSON: objects of the SDK, numbers of numpy, and the like."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{value!r} cannot be written as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
