"""Requests for a batch: built, checked, and written to a file. Everything public of it is here."""

from batchyard.client.building.packing import PackError, pack, unpack
from batchyard.client.building.parameters import ParameterError, UnknownParameterWarning
from batchyard.client.building.parts import (
    assistant,
    audio,
    file,
    image,
    system,
    tool,
    tool_result,
    user,
)
from batchyard.client.building.requests import (
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
from batchyard.client.building.rows import (
    Row,
    as_row,
    chat_rows,
    content_id,
    embedding_rows,
    key_of,
    response_rows,
)
from batchyard.client.building.schema import Format, SchemaError, format_of, read_as
from batchyard.client.building.strict import strictly
from batchyard.client.building.template import Template, TemplateError
from batchyard.client.building.writing import DuplicateIdError, RequestFile

__all__ = [
    "DuplicateIdError",
    "Format",
    "PackError",
    "ParameterError",
    "Request",
    "RequestFile",
    "Row",
    "SchemaError",
    "Template",
    "TemplateError",
    "UnknownParameterWarning",
    "as_row",
    "assistant",
    "audio",
    "chat",
    "chat_rows",
    "completions",
    "content_id",
    "embedding_rows",
    "embeddings",
    "encode",
    "file",
    "format_of",
    "image",
    "image_edits",
    "images",
    "key_of",
    "moderations",
    "overridden",
    "pack",
    "read_as",
    "response_rows",
    "responses",
    "strictly",
    "system",
    "tool",
    "tool_result",
    "unpack",
    "user",
]
