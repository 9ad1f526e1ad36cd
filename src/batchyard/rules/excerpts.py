"""What an upstream sent in the place of an answer, in a few words: excerpts, and why it is none."""

import json
import re
from collections.abc import Sequence

__all__ = ["describe_answer", "excerpt", "header", "why_no_answer"]

EXCERPT_CHARACTERS = 200
# A body is looked through for its first fault up to this many bytes; failures may be large.
_LOOKED_THROUGH_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
# Some upstreams repeat the key that they refuse.
_SECRET = re.compile(r"(?i)\b(bearer\s+|sk-|key-)[\w.~+/=-]{6,}")
_BOM = b"\xef\xbb\xbf"
_NO_NUMBER = re.compile(rb"[:,\[\s](-?Infinity|NaN)\b")


def excerpt(body: bytes) -> str:
    """The first characters of a body, on one line, without control characters and keys."""
    # A character has at most four bytes in UTF-8.
    text = body[: EXCERPT_CHARACTERS * 8].decode(errors="replace").removeprefix("\ufeff")
    text = _SECRET.sub(r"\1***", _CONTROL.sub(" ", text)).strip()
    whole = len(text) <= EXCERPT_CHARACTERS and len(body) <= EXCERPT_CHARACTERS * 8
    return text if whole else text[:EXCERPT_CHARACTERS].rstrip() + "..."


def header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """The value of a header as text for people; empty where it is not there."""
    for key, value in headers:
        if key == name:
            return excerpt(value)
    return ""


def describe_answer(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> str:
    """An answer that is a failure, as in `HTTP 502 (text/html): <html>...`."""
    kind = header(headers, b"content-type")
    place = header(headers, b"location")
    told = f"HTTP {status}" + (f" ({kind})" if kind else "")
    if place:
        told += f" to {place}"
    shown = _message(body) or excerpt(body)
    return f"{told}: {shown}" if shown else told


def why_no_answer(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> str:
    """Why an answer with a good status is none, and how it begins."""
    kind = header(headers, b"content-type")
    came = f"HTTP {status}" + (f" with {kind}" if kind else "")
    shown = excerpt(body)
    return f"{came}, but {_why(kind, body)}" + (f": {shown}" if shown else "")


def _message(body: bytes) -> str:
    """The message of an error in the form of the API; empty where there is none."""
    if body.lstrip()[:1] != b"{" or len(body) > _LOOKED_THROUGH_BYTES:
        return ""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = found.get("error", found)
    if isinstance(error, dict):
        error = error.get("message", error.get("detail"))
    return excerpt(error.encode(errors="replace")) if isinstance(error, str) else ""


def _why(kind: str, body: bytes) -> str:
    begin = body[:64].removeprefix(_BOM).lstrip().lower()
    if not begin:
        return "the body is empty"
    if kind.startswith("text/event-stream") or begin.startswith((b"data:", b"event:", b": ")):
        return "it is an event stream: the upstream streams though it was not asked to"
    if begin.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<title")):
        return "it is an HTML page and no JSON"
    looked = body[:_LOOKED_THROUGH_BYTES]
    if odd := _NO_NUMBER.search(looked):
        return f"it is no JSON: {odd[1].decode()} at byte {odd.start(1)}"
    if len(body) > _LOOKED_THROUGH_BYTES:
        return "it is not one JSON object in UTF-8"
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        at = len(error.doc[: error.pos].encode(errors="replace"))
        if at >= len(body.rstrip()):
            return f"the JSON ends too early, after {len(body)} bytes"
        return f"it is no JSON from byte {at} on"
    except (UnicodeDecodeError, RecursionError):
        return "it is not one JSON object in UTF-8"
    return "it says an error" if isinstance(found, dict) else "the JSON is no object"
