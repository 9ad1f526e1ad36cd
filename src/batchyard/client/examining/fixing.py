"""Repairs what a machine can repair in a file of requests, and tells every change.

A line that needs no repair keeps its bytes; in one that does, every value that is not changed
keeps its bytes too.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.apis.targets import Target
from batchyard.client.examining.hints import wants_completion_tokens
from batchyard.client.examining.reading import lines_of
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.wire.lines import BOM, split_object

__all__ = ["Change", "fix"]

Chunks = Callable[[], Iterable[bytes]]
# Of the line or its body: a key, and its new value in JSON, None to remove it, or "=" and a name.
_Edit = tuple[str, str, bytes | None, "Change"]


class Change(Struct, frozen=True, kw_only=True):
    """One change: where, which fault it mends, and what stood and stands there."""

    code: str
    line: int | None
    before: str
    after: str


class _Body(Struct, gc=False):
    model: Any = ""
    stream: Any = None
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET


class _Row(Struct, gc=False):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: _Body | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Row).decode
_encode = msgspec.json.Encoder().encode


def fix(
    chunks: Chunks, target: Target, *, url: str | None = None
) -> Iterator[tuple[bytes | None, tuple[Change, ...]]]:
    """Each line as it shall stand, with what was changed in it; None where nothing shall stand.

    Reads the file twice: an id that is made up must not be that of a later line. `url` is given
    to every line. What no machine can mend stays as it is.
    """
    yield from _around(chunks)
    ids = _Ids(chunks, target)
    usual = url or ids.usual_url
    for number, line in lines_of(chunks()):
        yield _mended(number, line, target, (url, usual), ids)


def _around(chunks: Chunks) -> Iterator[tuple[None, tuple[Change, ...]]]:
    """What stands beside lines: a byte order mark, blank lines."""
    start, breaks, last = b"", 0, b"\n"
    for chunk in chunks():
        start = start or chunk[: len(BOM)]
        breaks += chunk.count(b"\n")
        last = chunk[-1:]
    blank = breaks + (last != b"\n") - sum(1 for _ in lines_of(chunks()))
    if start == BOM:
        yield None, (Change(code="byte_order_mark", line=1, before="U+FEFF", after=""),)
    if blank:
        change = Change(code="blank_lines", line=None, before=f"{blank:,} blank lines", after="")
        yield None, (change,)


class _Ids:
    """All ids of a file, by hash, and those that were given so far."""

    def __init__(self, chunks: Chunks, target: Target) -> None:
        self._all: set[int] = set()
        self._given: set[int] = set()
        self.usual_url: str | None = None
        for _, line in lines_of(chunks()):
            try:
                row = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(row.custom_id, str):
                self._all.add(hash(row.custom_id))
            if self.usual_url is None and isinstance(row.url, str):
                self.usual_url = _endpoint_of(row.url, target)

    def give(self, wanted: str) -> str:
        """The id itself, or one made from it that no line has."""
        given, times = wanted, 1
        while hash(given) in self._given or (times > 1 and hash(given) in self._all):
            times += 1
            given = f"{wanted}-{times}"
        self._given.add(hash(given))
        return given


def _mended(
    number: int, line: bytes, target: Target, urls: tuple[str | None, str | None], ids: _Ids
) -> tuple[bytes, tuple[Change, ...]]:
    try:
        # The decoder does not look at all of the text.
        line.decode()
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line, ()
    edits = [
        *_envelope_changes(number, row, target, urls, ids),
        *_body_changes(number, row, target),
    ]
    if not edits:
        return line, ()
    envelope = split_object(line)
    body = split_object(envelope["body"]) if "body" in envelope and row.body is not UNSET else None
    for place, name, value, _ in edits:
        parts = envelope if place == "line" else body
        if parts is not None:
            _edit(parts, name, value)
    if body is not None:
        envelope["body"] = _joined(body)
    return _joined(envelope), tuple(change for *_, change in edits)


def _envelope_changes(
    number: int, row: _Row, target: Target, urls: tuple[str | None, str | None], ids: _Ids
) -> Iterator[_Edit]:
    wanted = row.custom_id
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        wanted = str(wanted)
    code = "duplicate_custom_id"
    if not isinstance(wanted, str) or not wanted:
        wanted = f"request-{number}"
    if wanted != row.custom_id:
        code = "invalid_custom_id"
    given = ids.give(wanted)
    if given != row.custom_id:
        yield _set("line", "custom_id", given, _change(code, number, row.custom_id, given))
    if row.method != "POST":
        yield _set("line", "method", "POST", _change("invalid_method", number, row.method, "POST"))
    forced, usual = urls
    url = forced or (_endpoint_of(row.url, target) if isinstance(row.url, str) else usual)
    if url is not None and url != row.url:
        yield _set("line", "url", url, _change("invalid_url", number, row.url, url))


def _body_changes(number: int, row: _Row, target: Target) -> Iterator[_Edit]:
    body = row.body
    if isinstance(body, UnsetType):
        return
    if body.stream not in (None, False):
        change = _change("streaming_unsupported", number, {"stream": body.stream}, "")
        yield "body", "stream", None, change
    url = _endpoint_of(row.url, target) if isinstance(row.url, str) else None
    wanted = None
    if url is not None and url.endswith("/responses"):
        wanted = "max_output_tokens"
    elif (
        url is not None
        and url.endswith("/chat/completions")
        and target.openai_models
        and isinstance(body.model, str)
        and wants_completion_tokens(body.model)
    ):
        wanted = "max_completion_tokens"
    if wanted is not None and not isinstance(body.max_tokens, UnsetType):
        kept = body.max_completion_tokens is not UNSET and wanted == "max_completion_tokens"
        change = _change("max_tokens_unsupported", number, "max_tokens", "" if kept else wanted)
        yield "body", "max_tokens", None if kept else b"=" + wanted.encode(), change


def _set(place: str, name: str, value: str, change: Change) -> _Edit:
    return place, name, _encode(value), change


def _change(code: str, number: int, before: object, after: str) -> Change:
    shown = before if isinstance(before, str) else json.dumps(before, ensure_ascii=False)
    return Change(code=code, line=number, before=shown[:100], after=after[:100])


def _edit(parts: dict[str, bytes], name: str, value: bytes | None) -> None:
    """Set a value, take it away (None), or rename its key ("=" and the new name)."""
    if value is None:
        del parts[name]
    elif value.startswith(b"="):
        whole = [(value[1:].decode() if key == name else key, raw) for key, raw in parts.items()]
        parts.clear()
        parts.update(whole)
    else:
        parts[name] = value


def _joined(parts: dict[str, bytes]) -> bytes:
    return b"{" + b", ".join(_encode(name) + b": " + raw for name, raw in parts.items()) + b"}"


def _endpoint_of(url: str, target: Target) -> str:
    """The endpoint that a url means: without a host, with its version, without a last slash."""
    allowed = target.limits.urls or tuple(ENDPOINTS)
    if url in allowed:
        return url
    path = "/" + urlsplit(url.strip()).path.strip("/")
    for known in allowed:
        if known in (path, f"/v1{path}") or path == f"/openai{known}":
            return known
    return url
