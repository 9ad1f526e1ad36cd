"""Retries: a new batch of just those lines of an ended one that have no good answer."""

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.blobs import Blobs, Writing
from batchyard.places.contents import sound_chunks_of
from batchyard.places.store.promises import Promise
from batchyard.places.store.results import Original
from batchyard.places.store.rows import Content, FileRow, NewBatch, Part
from batchyard.rules.limits import INPUT_EXPIRES_SECONDS, Limits
from batchyard.rules.validate import Digest, Scan
from batchyard.server.allowance import check_batches
from batchyard.server.answers import answer
from batchyard.server.batches import window_of
from batchyard.server.downloads import check, check_results
from batchyard.server.extras import dressed, forget
from batchyard.server.gate import limits_of, project_of
from batchyard.server.params import budget_of, has_body, json_object, metadata_of, string_of
from batchyard.server.promises import once
from batchyard.server.reading import Span, Wanted, wanted_lines
from batchyard.server.unnamed import unless_named
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import batch_id, file_id, line_id_prefix
from batchyard.wire.lines import BOM
from batchyard.wire.outcomes import line_index

__all__ = ["retry"]

_CHOICES: Mapping[str, frozenset[str]] = {
    "all_unsuccessful": frozenset(("errored", "expired", "cancelled")),
    "failed": frozenset(("errored",)),
    "not_executed": frozenset(("expired", "cancelled")),
}
# Who asks for the same retry again so soon has pressed twice.
_TWICE_SECONDS = 60
_CODES_MAX = 100


async def retry(request: Request, yard: Yard) -> Response:
    """Make a batch of the lines that failed or never ran, byte for byte as they were asked."""
    body = await json_object(request) if has_body(request) else {}
    return await once(request, yard, body, partial(_retry, request, yard, body))


async def _retry(
    request: Request, yard: Yard, body: dict[str, Any], promise: Promise | None
) -> Response:
    id, project, now = request.path_params["id"], project_of(request.scope), yard.now()
    budget = budget_of(body, limits_of(request.scope))
    wanted = _wanted(body)
    original = await yard.store.run(yard.records.original, project, id, now)
    if original is None:
        raise ApiError.no_such_batch(id)
    content = _content(original)
    window = original.completion_window
    if body.get("completion_window") is not None:
        window = string_of(body, "completion_window")
    window, seconds = window_of(window, limits_of(request.scope))
    metadata = metadata_of(body) if "metadata" in body else original.metadata
    await check(request, yard, content)
    failed = [one for one in original.results.kept if one.kind == "error"]
    await check_results(request, yard, original.results, failed)
    indexes = await yard.disk.run(_indexes, yard.blobs, original, wanted)
    if not indexes:
        raise _refused(409, "There is nothing to retry: no line of this batch is such a one.")
    await check_batches(request, yard)
    file = await _input(yard, content, indexes, limits_of(request.scope))
    file = msgspec.structs.replace(
        file,
        project_id=project,
        filename=f"{id}_retry.jsonl",
        created_at=now,
        expires_at=now + INPUT_EXPIRES_SECONDS,
    )
    new = NewBatch(
        id=batch_id(yard.chance),
        project_id=project,
        endpoint=original.endpoint,
        input_file_id=file.id,
        completion_window=window,
        created_at=now,
        expires_at=now + seconds,
        metadata=metadata,
        output_expires_after_seconds=original.output_expires_after_seconds,
        line_id_prefix=line_id_prefix(yard.chance),
        priority=original.priority,
        budget=budget,
        retry_of=id,
    )
    async with unless_named(yard, file.parts[0].blob):
        batch = await yard.store.run(
            yard.records.add_retry, new, file, now - _TWICE_SECONDS, promise
        )
    if batch.id != new.id:
        await yard.disk.run(yard.blobs.delete, [file.parts[0].blob])
    forget(yard, id)
    yard.ring()
    return answer(await dressed(yard, request.scope, batch))


async def _input(yard: Yard, content: Content, indexes: Set[int], limits: Limits) -> FileRow:
    """Write these lines of an input as a file of their own, which nothing names yet."""
    id = file_id(yard.chance)
    blob = f"inputs/{id}"
    writing = await yard.disk.run(yard.blobs.create, blob)
    try:
        lines = _lines(yard.blobs, content, indexes)
        digest = await yard.disk.run(_write, writing, lines, limits)
        sha256 = await yard.disk.run(writing.commit)
    finally:
        await yard.disk.run(writing.abandon)
    return FileRow(
        id=id,
        project_id="",
        purpose="batch",
        filename="",
        size_bytes=writing.size_bytes,
        sha256=sha256,
        created_at=0,
        parts=(Part(blob, writing.size_bytes),),
        digest=msgspec.json.encode(digest),
    )


def _wanted(body: Mapping[str, Any]) -> Wanted:
    only = body.get("only") or "all_unsuccessful"
    if only not in tuple(_CHOICES):
        raise ApiError.invalid_value("only", only, tuple(_CHOICES))
    codes = body.get("codes")
    if codes is None:
        return Wanted(_CHOICES[only])
    few = isinstance(codes, list) and 0 < len(codes) <= _CODES_MAX
    if not few or not all(isinstance(code, str) for code in codes):
        raise ApiError(
            400,
            f"Invalid 'codes': expected an array of 1 to {_CODES_MAX} strings, such as "
            '["rate_limit_exceeded", "429"].',
            code="invalid_value",
            param="codes",
        )
    return Wanted(_CHOICES[only], frozenset(codes))


def _content(original: Original) -> Content:
    """The input of a batch that can be retried."""
    results = original.results
    if not results.ended:
        raise _refused(
            409,
            f"Cannot retry a batch with status '{results.status}': wait until it has ended, or "
            "cancel it first.",
        )
    if results.status == "failed":
        raise _refused(
            409,
            "Cannot retry a batch with status 'failed': none of its lines was asked. Correct its "
            "input, upload it, and create a batch of it.",
        )
    if "error" in results.gone:
        raise _refused(
            409,
            f"Cannot retry: the error file {results.gone['error']}, which says what failed, is "
            "deleted or has expired. Create a batch of the lines that you miss.",
        )
    if original.content is None:
        raise _refused(
            409,
            f"Cannot retry: the input file {original.input_file_id} is deleted or has expired. "
            "Upload the lines again and create a batch of them.",
        )
    return original.content


def _refused(status: int, message: str) -> ApiError:
    return ApiError(status, message, headers={"x-should-retry": "false"})


def _indexes(blobs: Blobs, original: Original, wanted: Wanted) -> Set[int]:
    """Which lines of the input are to be asked again."""
    return {
        line_index(line)
        for kept in original.results.kept
        if kept.kind == "error"
        for some in wanted_lines(blobs, Span(kept, 0, kept.size_bytes), wanted)
        for line in some
    }


def _lines(blobs: Blobs, content: Content, indexes: Set[int]) -> Iterator[list[bytes]]:
    """These lines of an input, in its order; blank ones are no requests and have no index."""
    index, left, begun = 0, b"", False
    for chunk in chain(sound_chunks_of(blobs, content), (b"\n",)):
        *whole, left = (left + chunk).split(b"\n")
        if whole and not begun:
            whole[0], begun = whole[0].removeprefix(BOM), True
        found = []
        for line in whole:
            if line and not line.isspace():
                if index in indexes:
                    found.append(line + b"\n")
                index += 1
        yield found


def _write(writing: Writing, lines: Iterator[Sequence[bytes]], limits: Limits) -> Digest:
    scan = Scan(limits)
    for some in lines:
        text = b"".join(some)
        writing.write(text)
        scan.feed(text)
    return scan.finish()
