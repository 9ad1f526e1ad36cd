"""Messages, images, files, audio and tools, written once and rendered as each API wants them."""

import base64
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard.client.building.schema import format_of

__all__ = [
    "Audio",
    "Document",
    "Image",
    "Tool",
    "assistant",
    "audio",
    "chat_messages",
    "chat_tools",
    "file",
    "image",
    "response_input",
    "response_tools",
    "system",
    "tool",
    "tool_result",
    "user",
]

Source = str | PathLike[str] | bytes


class Image(Struct, frozen=True, omit_defaults=True):
    """An image by address (a data URL too), or by the id of an uploaded file."""

    url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class Document(Struct, frozen=True, omit_defaults=True):
    """A file by its content, its address, or the id of an uploaded file."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


class Audio(Struct, frozen=True):
    """Sound in base64, with its format."""

    data: str
    format: str


class Tool(Struct, frozen=True):
    """A function that a model may call."""

    name: str
    description: str | None
    parameters: dict[str, Any] | None
    strict: bool


def image(
    source: Source | None = None,
    *,
    file_id: str | None = None,
    detail: str | None = None,
    media_type: str | None = None,
) -> Image:
    """An image for a message: an address, a path (it becomes a data URL), bytes or a file id."""
    if source is None:
        return Image(file_id=file_id, detail=detail)
    if isinstance(source, str) and source.startswith(("https://", "http://", "data:")):
        return Image(url=source, detail=detail)
    return Image(url=_data_url(source, media_type or _guessed(source, "image/png")), detail=detail)


def file(
    source: Source | None = None,
    *,
    file_id: str | None = None,
    filename: str | None = None,
    media_type: str | None = None,
) -> Document:
    """A file for a message: a path or bytes (they become a data URL), an address or a file id."""
    if source is None:
        return Document(file_id=file_id)
    if isinstance(source, str) and source.startswith(("https://", "http://")):
        return Document(file_url=source)
    name = filename or ("document.pdf" if isinstance(source, bytes) else Path(source).name)
    kind = media_type or _guessed(name, "application/pdf")
    return Document(file_data=_data_url(source, kind), filename=name)


def audio(source: PathLike[str] | str | bytes, *, format: str | None = None) -> Audio:
    """Sound for a message, from a path or bytes."""
    named = "" if isinstance(source, bytes) else Path(source).suffix.removeprefix(".")
    return Audio(base64.b64encode(_content(source)).decode(), format or named or "wav")


def tool(
    name: str,
    parameters: Any = None,
    *,
    description: str | None = None,
    strict: bool = True,
) -> Tool:
    """A function that a model may call; its parameters are a type or a JSON Schema."""
    schema = None if parameters is None else format_of(parameters, strict=strict).schema
    return Tool(name, description, schema, strict and schema is not None)


def system(content: Any) -> dict[str, Any]:
    """A message that says how to behave."""
    return {"role": "system", "content": content}


def user(*content: Any) -> dict[str, Any]:
    """A message of the user: one text, or texts, images and files one after another."""
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def assistant(content: Any = None, **more: Any) -> dict[str, Any]:
    """A message of the model, such as an earlier turn; with `tool_calls` it may have no content."""
    return {"role": "assistant", "content": content, **more}


def tool_result(call_id: str, content: Any) -> dict[str, Any]:
    """What a tool gave for the call of this id."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def chat_messages(messages: str | Sequence[Any]) -> list[Any]:
    """Messages as chat completions want them; a text alone is what the user says."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return [_message(one, _chat_part) for one in messages]


def response_input(given: str | Sequence[Any]) -> str | list[Any]:
    """Input as responses want it."""
    if isinstance(given, str):
        return given
    return [_message(one, _response_part) for one in given]


def chat_tools(tools: Sequence[Any]) -> list[Any]:
    """Tools as chat completions want them."""
    return [
        {"type": "function", "function": _function(one)} if isinstance(one, Tool) else one
        for one in tools
    ]


def response_tools(tools: Sequence[Any]) -> list[Any]:
    """Tools as responses want them."""
    return [
        {"type": "function", **_function(one)} if isinstance(one, Tool) else one for one in tools
    ]


def _function(one: Tool) -> dict[str, Any]:
    told = {"description": one.description} if one.description else {}
    asked = {} if one.parameters is None else {"parameters": one.parameters}
    return {"name": one.name, **told, **asked, "strict": one.strict}


def _message(one: Any, part: Callable[[Any, str], Any]) -> Any:
    # Most messages are just this, and there are millions.
    if type(one) is dict and type(one.get("content")) is str:
        return one
    if isinstance(one, str):
        return {"role": "user", "content": one}
    if isinstance(one, Image | Document | Audio):
        return {"role": "user", "content": [part(one, "user")]}
    if not isinstance(one, Mapping):
        # A message of the SDK, or a value that knows how it is written.
        return one
    content = one.get("content")
    if isinstance(content, Image | Document | Audio):
        content = [content]
    if isinstance(content, list | tuple):
        role = str(one.get("role"))
        return {**one, "content": [part(inner, role) for inner in content]}
    return one


def _chat_part(one: Any, _role: str) -> Any:
    if isinstance(one, str):
        return {"type": "text", "text": one}
    if isinstance(one, Image):
        if one.url is None:
            raise ValueError("A chat completion takes images by address or content, not by file id")
        told = {"detail": one.detail} if one.detail else {}
        return {"type": "image_url", "image_url": {"url": one.url, **told}}
    if isinstance(one, Document):
        if one.file_url is not None:
            raise ValueError("A chat completion takes files by content or file id, not by address")
        return {"type": "file", "file": _facts(one)}
    return _sound(one) if isinstance(one, Audio) else one


def _response_part(one: Any, role: str) -> Any:
    if isinstance(one, str):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": one}
    if isinstance(one, Image):
        where = {"file_id": one.file_id} if one.url is None else {"image_url": one.url}
        return {"type": "input_image", **where, "detail": one.detail or "auto"}
    if isinstance(one, Document):
        return {"type": "input_file", **_facts(one)}
    return _sound(one) if isinstance(one, Audio) else one


def _facts(one: Document) -> dict[str, str]:
    names = ("filename", "file_data", "file_id", "file_url")
    return {name: getattr(one, name) for name in names if getattr(one, name) is not None}


def _sound(one: Audio) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": one.data, "format": one.format}}


def _data_url(source: Source, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(_content(source)).decode()}"


def _content(source: Source) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


# What files of these kinds begin with.
_BEGINNINGS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


def _guessed(source: Source, default: str) -> str:
    if isinstance(source, bytes):
        return next(
            (kind for start, kind in _BEGINNINGS.items() if source.startswith(start)), default
        )
    return mimetypes.guess_type(str(source))[0] or default
