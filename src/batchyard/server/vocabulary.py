"""The vocabulary of the API's description: parameters and schemas that many routes share."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchyard.rules.limits import (
    EXPIRES_AFTER_SECONDS,
    METADATA_KEY_CHARACTERS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARACTERS_MAX,
)
from batchyard.wire.outcomes import OUTCOMES
from batchyard.wire.webhooks import EVENT_TYPES

__all__ = [
    "BUDGET",
    "BYTES",
    "CODES",
    "COUNT",
    "ENDPOINT_SENTENCE",
    "EXPIRES_AFTER",
    "GROUPED",
    "HOOK",
    "LIFETIME",
    "LINES",
    "OFFSET",
    "ONCE",
    "PURPOSE",
    "RANGE",
    "STATUSES",
    "TAGS",
    "TEXT",
    "TEXT_OR_NULL",
    "USED",
    "WINDOW_SENTENCE",
    "Param",
    "Schema",
    "buckets_of",
    "days_of",
    "integer",
    "list_of",
    "one_of",
    "or_null",
    "page_of",
    "tokens_of",
]

Schema = Mapping[str, Any]


class Param(Struct, frozen=True):
    """One parameter: its name, its JSON schema, and a sentence."""

    name: str
    schema: Schema
    sentence: str
    required: bool = False


TEXT: Schema = {"type": "string"}
BYTES: Schema = {"type": "string", "format": "binary"}


def integer(least: int, most: int, default: int | None = None) -> Schema:
    """A number within bounds."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else schema | {"default": default}


def one_of(*choices: str) -> Schema:
    """One of a few words."""
    return {"type": "string", "enum": list(choices)}


def list_of(schema: Schema, least: int = 0) -> Schema:
    """An array of such, or one that has so many at least."""
    return {"type": "array", "items": schema} | ({"minItems": least} if least else {})


def or_null(schema: Schema) -> Schema:
    """Such, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def page_of(bounds: tuple[int, int, int]) -> tuple[Param, ...]:
    """The cursor and the size of a page, whose bounds are (least, most, default)."""
    return (
        Param("after", TEXT, "The id after which the page begins; an unknown one gives none."),
        Param("limit", integer(*bounds), "How many objects a page has at most."),
    )


EXPIRES_AFTER: Schema = {
    "type": "object",
    "required": ["anchor", "seconds"],
    "properties": {
        "anchor": one_of("created_at"),
        "seconds": integer(*EXPIRES_AFTER_SECONDS),
    },
}
METADATA: Schema = {
    "type": "object",
    "maxProperties": METADATA_KEYS_MAX,
    "propertyNames": {"maxLength": METADATA_KEY_CHARACTERS_MAX},
    "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_CHARACTERS_MAX},
}
PURPOSE = Param(
    "purpose",
    one_of("assistants", "batch", "fine-tune", "vision", "user_data", "evals"),
    "What it is for; only a file for `batch` can be the input of a batch.",
    True,
)
LIFETIME = Param("expires_after", EXPIRES_AFTER, "When the file expires; `batch`: 30 days.")
WINDOW_SENTENCE = (
    "The time in which it shall be done: `24h`, or where the profile is relaxed any from `1m` "
    "to `30d`."
)
ENDPOINT_SENTENCE = (
    "Where all of its lines go; those that OpenAI does not have only where the profile is relaxed."
)
TAGS = Param("metadata", or_null(METADATA), "Pairs of your own, echoed as they are.")
BUDGET = Param(
    "budget",
    {
        "type": "object",
        "properties": {
            "tokens": integer(1, 1 << 53),
            "usd": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e9},
        },
        "additionalProperties": False,
    },
    "What it may take until it stops; ours alone.",
)
ONCE = (
    Param(
        "Idempotency-Key",
        {"type": "string", "maxLength": 255},
        "Asked again with the same key within 24 hours, the first answer is given again.",
    ),
)
STATUSES = Param("status", TEXT, f"Only lines of these, by commas: {', '.join(OUTCOMES)}.")
CODES = Param("code", TEXT, "Only lines with these error codes or statuses, by commas.")
OFFSET = Param(
    "offset", TEXT, "What `X-Next-Offset` said before: only what has come since is sent."
)
RANGE = (
    Param("Range", TEXT, "The bytes asked for, such as `bytes=0-999`."),
    Param("If-Range", TEXT, "The `ETag` for which the range is meant."),
    Param("If-None-Match", TEXT, "The `ETag` that is there already: 304 if it is the same."),
)
LINES: Mapping[str, Schema] = {"application/jsonl": BYTES}
HOOK = (
    Param("name", TEXT, "A name for people.", True),
    Param("url", {"type": "string", "format": "uri"}, "Where it is told.", True),
    Param("event_types", list_of(one_of(*EVENT_TYPES), 1), "Of what it is told.", True),
)

COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
GROUPED = dict.fromkeys(("project_id", "user_id", "api_key_id", "model"), TEXT_OR_NULL)


# What is told of each kind of usage, beside its requests; of most there is none here.
USED: Mapping[str, Mapping[str, Schema]] = {
    "audio_speeches": {},
    "audio_transcriptions": {"seconds": COUNT},
    "code_interpreter_sessions": {},
    "completions": {
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "input_cached_tokens": COUNT,
        "batch": {"type": ["boolean", "null"]},
    },
    "decisions": {},
    "embeddings": {"input_tokens": COUNT},
    "file_search_calls": {},
    "images": {"images": COUNT},
    "moderations": {"input_tokens": COUNT},
    "vector_stores": {},
    "web_search_calls": {},
}


def days_of(
    page: tuple[int, int, int], *groups: str, widths: tuple[str, ...] = ("1d",)
) -> tuple[Param, ...]:
    """Which days, hours or minutes, told apart by what."""
    return (
        Param("start_time", COUNT, "A Unix second within the first bucket.", True),
        Param("end_time", COUNT, "The Unix second before which it ends; now by default."),
        Param("bucket_width", one_of(*widths), "How long a bucket is; `1d` by default."),
        Param("group_by", list_of(one_of(*groups)), "By what it is told apart."),
        Param(
            "limit",
            integer(*page),
            "How many buckets a page has; 168 of `1h`, 1,440 of `1m` at most.",
        ),
        Param("page", TEXT, "What `next_page` said before."),
    )


def tokens_of(*groups: str) -> tuple[Param, ...]:
    """The parameters of a usage of tokens."""
    return (
        *days_of((1, 31, 7), *groups, widths=("1d", "1h", "1m")),
        Param("models", list_of(TEXT), "Only of these models."),
        Param("batch", {"type": "boolean"}, "All is batch here: `false` gives none."),
    )


def buckets_of(results: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """A page of buckets, each with its results."""
    bucket = {
        "object": {"const": "bucket"},
        "start_time": COUNT,
        "end_time": COUNT,
        "results": list_of({"type": "object", "properties": results}),
    }
    days = list_of({"type": "object", "properties": bucket})
    page = {"object": {"const": "page"}, "data": days}
    page |= {"has_more": {"type": "boolean"}, "next_page": TEXT_OR_NULL}
    return {"application/json": {"type": "object", "properties": page}}
