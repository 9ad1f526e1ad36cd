"""What files are for, and what follows from that for their names and lifetimes."""

from batchyard.rules.limits import INPUT_EXPIRES_SECONDS, Limits
from batchyard.rules.validate import Digest
from batchyard.wire.errors import ApiError

__all__ = ["check_content", "check_purpose", "end_of"]

_NOT_JSONL = ApiError(400, "Invalid file format for Batch API. Must be .jsonl")
_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


def check_purpose(purpose: str, filename: str, limits: Limits) -> None:
    """Refuse what is no purpose, or in the strict profile no name for it."""
    if purpose not in _PURPOSES:
        raise ApiError.invalid_value("purpose", purpose, _PURPOSES)
    strict = purpose == "batch" and not limits.any_file_name
    if strict and not filename.endswith(".jsonl"):
        raise _NOT_JSONL


def check_content(digest: Digest, limits: Limits) -> None:
    """Refuse in the strict profile a file for a batch that has no line of JSON at all.

    Elsewhere it is kept, and the batch made of it says line by line what is wrong.
    """
    nonsense = not digest.urls and all(one.code == "invalid_json_line" for one in digest.errors)
    if nonsense and not limits.any_file_name:
        raise _NOT_JSONL


def end_of(purpose: str, seconds: int | None, now: int) -> int | None:
    """When a file that is made now expires; without `seconds` only one for a batch does."""
    if seconds is None and purpose == "batch":
        seconds = INPUT_EXPIRES_SECONDS
    return None if seconds is None else now + seconds
