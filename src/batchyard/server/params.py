"""Reads the parameters of requests into values, or says in OpenAI's words what is wrong."""

import json
import re
from typing import Any

from starlette.requests import Request

from batchyard.rules.limits import (
    EXPIRES_AFTER_SECONDS,
    METADATA_KEY_CHARACTERS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARACTERS_MAX,
    STRICT,
    Limits,
)
from batchyard.rules.lines import is_shallow
from batchyard.wire.errors import ApiError

__all__ = [
    "budget_of",
    "expires_after_of",
    "flag_of",
    "has_body",
    "integer_of",
    "json_object",
    "limit_of",
    "metadata_of",
    "object_in",
    "one_of",
    "query_of",
    "string_of",
    "strings_of",
]

_BODY_BYTES_MAX = 1 << 20
_STRING_CHARACTERS_MAX = 512
_INTEGER = re.compile(r"-?[0-9]{1,400}")


def query_of(request: Request, name: str) -> str | None:
    """A query parameter that may stand once."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise ApiError(
            400, f"Parameter '{name}' was given more than once.", code="invalid_value", param=name
        )
    return values[0] if values else None


def limit_of(request: Request, page: tuple[int, int, int]) -> int:
    """The `limit` of a list, within (least, most, default)."""
    least, most, default = page
    text = query_of(request, "limit")
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise ApiError.invalid_type("limit", "an integer", "a string")
    limit = int(text)
    if limit < least:
        raise ApiError.below_min("limit", limit, least)
    if limit > most:
        raise ApiError.above_max("limit", limit, most)
    return limit


def one_of(request: Request, name: str, choices: tuple[str, ...]) -> str:
    """A query parameter with few values; the first is the default."""
    text = query_of(request, name)
    if text is not None and text not in choices:
        raise ApiError.invalid_value(name, text, choices)
    return text or choices[0]


def has_body(request: Request) -> bool:
    """Whether a request came with a body, where it need not have one."""
    fields = request.headers
    return "transfer-encoding" in fields or fields.get("content-length", "0") != "0"


async def json_object(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body of a request as a JSON object."""
    content_type = request.headers.get("content-type", "application/json")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "Send the request body as JSON, with 'Content-Type: application/json'.")
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _BODY_BYTES_MAX:
            raise ApiError(413, f"The request body is larger than {_BODY_BYTES_MAX:,} bytes.")
    body = bytes(received)
    if may_be_empty and not body:
        return {}
    if not is_shallow(body, STRICT):
        raise ApiError(
            400,
            "We could not parse the JSON body of your request: it is nested more than "
            f"{STRICT.nesting_max} levels deep.",
        )
    try:
        value = _value_of(body)
    except ValueError:
        raise ApiError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body of the request must be a JSON object.")
    return value


def object_in(name: str, text: str) -> dict[str, Any]:
    """An object that came as the JSON text of a form field."""
    try:
        raw = text.encode()
        value = _value_of(raw) if is_shallow(raw, STRICT) else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ApiError.invalid_type(name, "an object", "other text")
    return value


def _value_of(text: bytes) -> Any:
    value = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    if b"\\u" in text:
        # Raises where an escape is half a character, which can be neither kept nor shown.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different; which of two was meant, nobody knows."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def string_of(body: dict[str, Any], name: str) -> str:
    """A required string."""
    value = body.get(name)
    if value is None:
        raise ApiError.missing(name)
    if not isinstance(value, str):
        raise ApiError.invalid_type(name, "a string", _kind(value))
    if len(value) > _STRING_CHARACTERS_MAX or "\0" in value:
        raise ApiError(
            400,
            f"Invalid '{name}': expected at most {_STRING_CHARACTERS_MAX} characters, none of them "
            "NUL.",
            code="invalid_value",
            param=name,
        )
    return value


def integer_of(body: dict[str, Any], name: str, bounds: tuple[int, int]) -> int | None:
    """An integer that may be left out, within (least, most)."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError.invalid_type(name, "an integer", _kind(value))
    least, most = bounds
    if value < least:
        raise ApiError.below_min(name, value, least)
    if value > most:
        raise ApiError.above_max(name, value, most)
    return value


def budget_of(body: dict[str, Any], limits: Limits) -> dict[str, float] | None:
    """Where a batch stops: {"tokens": n}, {"usd": x}, or both.

    Without our extras it is refused: whoever gives one counts on it.
    """
    value = body.get("budget")
    if value is None:
        return None
    if not limits.extras:
        raise ApiError(
            400,
            "Unknown parameter: 'budget'. There are no budgets in the strict profile.",
            code="unsupported_parameter",
            param="budget",
        )
    if not isinstance(value, dict):
        raise ApiError.invalid_type("budget", "an object", _kind(value))
    for name in value:
        if name not in ("tokens", "usd"):
            raise ApiError.invalid_value("budget", name, ("tokens", "usd"))
    budget: dict[str, float] = {}
    tokens = integer_of(value, "tokens", (1, 1 << 53))
    if tokens is not None:
        budget["tokens"] = tokens
    usd = value.get("usd")
    if usd is not None:
        if not isinstance(usd, int | float) or isinstance(usd, bool):
            raise ApiError.invalid_type("budget.usd", "a number", _kind(usd))
        if not 0 < usd <= 1e9:
            raise ApiError(
                400,
                "Invalid 'budget.usd': expected dollars above 0 and up to 1,000,000,000.",
                code="invalid_value",
                param="budget.usd",
            )
        budget["usd"] = usd
    if not budget:
        raise ApiError.missing("budget.tokens")
    return budget


def strings_of(body: dict[str, Any], name: str) -> list[str]:
    """A required array of strings."""
    value = body.get(name)
    if value is None:
        raise ApiError.missing(name)
    if not isinstance(value, list):
        raise ApiError.invalid_type(name, "an array of strings", _kind(value))
    return [string_of({f"{name}[{at}]": one}, f"{name}[{at}]") for at, one in enumerate(value)]


def flag_of(body: dict[str, Any], name: str) -> bool:
    """A boolean that may be left out: then it is false."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError.invalid_type(name, "a boolean", _kind(value))
    return bool(value)


def metadata_of(body: dict[str, Any]) -> dict[str, str] | None:
    """Up to 16 pairs of strings, or null."""
    value = body.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ApiError.invalid_type("metadata", "an object", _kind(value))
    if len(value) > METADATA_KEYS_MAX:
        raise ApiError(
            400,
            f"Invalid 'metadata': too many properties. Expected an object with at most "
            f"{METADATA_KEYS_MAX} properties, but got an object with {len(value)} properties "
            "instead.",
            code="object_above_max_properties",
            param="metadata",
        )
    for key, text in value.items():
        _check_pair(key, text)
    return value


def _check_pair(key: str, text: Any) -> None:
    param = f"metadata.{key[:METADATA_KEY_CHARACTERS_MAX]}"
    if len(key) > METADATA_KEY_CHARACTERS_MAX:
        raise ApiError(
            400,
            f"Invalid 'metadata': property name '{key[:METADATA_KEY_CHARACTERS_MAX]}...' is too "
            f"long. Expected at most {METADATA_KEY_CHARACTERS_MAX} characters, but got "
            f"{len(key)}.",
            code="property_name_above_max_length",
            param="metadata",
        )
    if not isinstance(text, str):
        raise ApiError.invalid_type(param, "a string", _kind(text))
    if len(text) > METADATA_VALUE_CHARACTERS_MAX:
        raise ApiError(
            400,
            f"Invalid '{param}': string too long. Expected a string with maximum length "
            f"{METADATA_VALUE_CHARACTERS_MAX}, but got a string with length {len(text)} instead.",
            code="string_above_max_length",
            param=param,
        )
    if "\0" in key + text:
        raise ApiError(
            400, f"Invalid '{param}': NUL cannot be kept.", code="invalid_value", param=param
        )


def expires_after_of(name: str, value: Any) -> int | None:
    """The seconds of an `expires_after` object, whose anchor can only be `created_at`."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ApiError.invalid_type(name, "an object", _kind(value))
    anchor = value.get("anchor")
    if anchor is None:
        raise ApiError.missing(f"{name}.anchor")
    if anchor != "created_at":
        raise ApiError.invalid_value(f"{name}.anchor", anchor, ("created_at",))
    seconds = value.get("seconds")
    if seconds is None:
        raise ApiError.missing(f"{name}.seconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise ApiError.invalid_type(f"{name}.seconds", "an integer", _kind(seconds))
    least, most = EXPIRES_AFTER_SECONDS
    if seconds < least:
        raise ApiError.below_min(f"{name}.seconds", seconds, least)
    if seconds > most:
        raise ApiError.above_max(f"{name}.seconds", seconds, most)
    return seconds


def _kind(value: Any) -> str:
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), "null")
