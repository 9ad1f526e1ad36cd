"""Requests for a batch: built, checked, and written to a file. Everything public of it is here."""

from batchyard.client.parameters import ParameterError, UnknownParameterWarning
from batchyard.client.parts import (
    assistant,
    audio,
    file,
    image,
    system,
    tool,
    tool_result,
    user,
)
from batchyard.client.requests import (
    Request,
    chat,
    completions,
    embeddings,
    encode,
    image_edits,
    images,
    moderations,
    overridden,
    responses,
)
from batchyard.client.schema import Format, SchemaError, format_of, read_as
from batchyard.client.strict import strictly
from batchyard.client.writing import DuplicateIdError, RequestFile

__all__ = [
    "DuplicateIdError",
    "Format",
    "ParameterError",
    "Request",
    "RequestFile",
    "SchemaError",
    "UnknownParameterWarning",
    "assistant",
    "audio",
    "chat",
    "completions",
    "embeddings",
    "encode",
    "file",
    "format_of",
    "image",
    "image_edits",
    "images",
    "moderations",
    "overridden",
    "read_as",
    "responses",
    "strictly",
    "system",
    "tool",
    "tool_result",
    "user",
]
