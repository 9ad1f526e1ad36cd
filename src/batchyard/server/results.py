"""Results of a batch while it runs and after: merged, or its output and errors as they grow."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.results import Kind, Results
from batchyard.rules.limits import RESULTS_MAX
from batchyard.server.downloads import Download, check_results
from batchyard.server.gate import project_of
from batchyard.server.params import limit_of, one_of, query_of
from batchyard.server.reading import (
    PIECE_BYTES,
    Span,
    Wanted,
    cursor_of,
    cut,
    offsets_of,
    wanted_lines,
)
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.outcomes import OUTCOMES, Row, numbered, read_row

__all__ = ["errors", "merged", "output"]

_NO_LIMIT = 0
# What a text begins with that a spreadsheet takes for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_TEXT_BYTES = 2 * PIECE_BYTES


async def merged(request: Request, yard: Yard) -> Response:
    """Output and error lines so far, each with the number of its request.

    `X-Next-After` is the `after` of what comes later; `X-Incomplete` tells whether more may come.
    """
    limit = limit_of(request, (1, RESULTS_MAX, _NO_LIMIT))
    wanted = _wanted(request)
    table = one_of(request, "format", ("jsonl", "csv")) == "csv"
    safe = one_of(request, "safe", ("0", "1")) == "1"
    after = query_of(request, "after")
    found = await _found(request, yard)
    for file_id in found.gone.values():
        raise ApiError.no_such_file(file_id)
    reached = await yard.disk.run(offsets_of, after or "at", found.kept, yard.blobs)
    if reached is None:
        raise _not_ours("after", "X-Next-After")
    spans = [Span(kept, reached[kept.blob], kept.size_bytes) for kept in found.kept]
    asked = [span for span in spans if span.start < span.end and not wanted.skips(span.kept)]
    await check_results(request, yard, found, [span.kept for span in asked])
    if limit != _NO_LIMIT:
        asked = await yard.disk.run(cut, yard.blobs, asked, wanted, limit)
    more = _advance(reached, spans, asked, wanted)
    headers = {
        "content-type": "text/csv; charset=utf-8" if table else "application/jsonl",
        "x-content-type-options": "nosniff",
        "x-incomplete": "true" if more or not found.ended else "false",
        "x-next-after": cursor_of(reached),
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    return Download(
        _rendered(yard, asked, wanted, _Form(table, after is None, safe)),
        request,
        yard,
        size_bytes=sum(span.end - span.start for span in asked),
        headers=headers,
    )


async def output(request: Request, yard: Yard) -> Response:
    """The bytes of the output so far, from `offset` on; of the whole when the batch has ended."""
    return await _growing(request, yard, "output")


async def errors(request: Request, yard: Yard) -> Response:
    """The same of the error file; lines that were never executed come at the end of the batch."""
    return await _growing(request, yard, "error")


async def _growing(request: Request, yard: Yard, kind: Kind) -> Response:
    found = await _found(request, yard)
    if kind in found.gone:
        raise ApiError.no_such_file(found.gone[kind])
    kept = [one for one in found.kept if one.kind == kind]
    mine = msgspec.structs.replace(found, kept=tuple(kept))
    reached = await _offsets(query_of(request, "offset") or "0", mine, yard)
    spans = [Span(one, reached[one.blob], one.size_bytes) for one in kept]
    size_bytes = sum(one.size_bytes for one in kept)
    # While one segment grows, bytes count on; more than one may grow at once.
    plain = found.ended or len(kept) < 2
    ends = {one.blob: one.size_bytes for one in kept}
    headers = {
        "content-type": "application/jsonl",
        "content-length": str(sum(span.end - span.start for span in spans)),
        "x-content-type-options": "nosniff",
        "x-incomplete": "false" if found.ended else "true",
        "x-last-line": str(found.lines[kind]),
        "x-next-offset": str(size_bytes) if plain else cursor_of(ends),
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    await check_results(
        request, yard, found, [span.kept for span in spans if span.start < span.end]
    )
    sent_bytes = int(headers["content-length"])
    return Download(_bytes(yard, spans), request, yard, size_bytes=sent_bytes, headers=headers)


async def _offsets(text: str, found: Results, yard: Yard) -> dict[str, int]:
    """How far each blob has been read: a plain count of bytes, or what `X-Next-Offset` said."""
    if text.isascii() and text.isdigit() and len(text) < 18:
        left = int(text)
        # A client that counts bytes itself is right within the first segment, and when all ended.
        sure = found.ended or left <= sum(one.size_bytes for one in found.kept[:1])
        reached = {}
        for one in found.kept:
            reached[one.blob] = min(left, one.size_bytes)
            left -= reached[one.blob]
        if sure and not left:
            return reached
        raise _not_ours("offset", "X-Next-Offset")
    known = await yard.disk.run(offsets_of, text, found.kept, yard.blobs)
    if known is None:
        raise _not_ours("offset", "X-Next-Offset")
    return known


async def _found(request: Request, yard: Yard) -> Results:
    id = request.path_params["id"]
    found = await yard.pages.run(yard.records.results, project_of(request.scope), id, yard.now())
    if found is None:
        raise ApiError.no_such_batch(id)
    return found


def _wanted(request: Request) -> Wanted:
    statuses = _words(request, "status")
    for status in statuses:
        if status not in OUTCOMES:
            raise ApiError.invalid_value("status", status, OUTCOMES)
    return Wanted(statuses, _words(request, "code"))


def _words(request: Request, name: str) -> frozenset[str]:
    text = query_of(request, name)
    return frozenset(word for word in (text or "").split(",") if word)


def _advance(reached: dict[str, int], spans: list[Span], asked: list[Span], wanted: Wanted) -> bool:
    """Move the marks behind what is sent; True when recorded lines are left for another time."""
    sent = {span.kept.blob: span.end for span in asked}
    more = False
    for span in spans:
        if span.kept.blob in sent or wanted.skips(span.kept):
            reached[span.kept.blob] = sent.get(span.kept.blob, span.end)
        more = more or reached[span.kept.blob] < span.end
    return more


async def _bytes(yard: Yard, spans: list[Span]) -> AsyncIterator[bytes]:
    for span in spans:
        length = span.end - span.start
        chunks = yard.blobs.chunks(
            span.kept.blob, start=span.start, length=length, piece_bytes=PIECE_BYTES
        )
        while chunk := await yard.disk.run(next, chunks, b""):
            yield chunk


class _Form(NamedTuple):
    """How lines are shown: as a table, with a head, without formulas."""

    table: bool
    head: bool
    safe: bool


async def _rendered(
    yard: Yard, spans: list[Span], wanted: Wanted, form: _Form
) -> AsyncIterator[bytes]:
    if form.table and form.head:
        yield _csv([Row.__struct_fields__])
    for span in spans:
        texts = _texts(yard, span, wanted, form)
        while (text := await yard.disk.run(next, texts, None)) is not None:
            # Numbers of lines make it longer than a piece, and one line may be an answer of MiB.
            for at in range(0, len(text), _TEXT_BYTES):
                yield text[at : at + _TEXT_BYTES]


def _texts(yard: Yard, span: Span, wanted: Wanted, form: _Form) -> Iterator[bytes]:
    succeeded = span.kept.kind == "output"
    for some in wanted_lines(yard.blobs, span, wanted):
        if form.table:
            rows = (msgspec.structs.astuple(read_row(line, succeeded=succeeded)) for line in some)
            yield _csv([[_harmless(cell) for cell in row] if form.safe else row for row in rows])
        else:
            yield b"".join(map(numbered, some))


def _harmless(cell: object) -> object:
    """A text as spreadsheets show it, and do not compute it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    # Half a character (a lone surrogate) can stand in JSON, not in UTF-8.
    return text.getvalue().encode(errors="replace")


def _not_ours(param: str, header: str) -> ApiError:
    return ApiError(
        400,
        f"Invalid '{param}': give back what the header {header} of an earlier answer said, or "
        "begin without it.",
        code="invalid_value",
        param=param,
    )
