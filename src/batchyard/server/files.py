"""Files: upload, list, retrieve, content, delete."""

import re
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.promises import Promise
from batchyard.places.store.rows import FileRow, Part
from batchyard.rules.limits import FILES_PAGE
from batchyard.server.allowance import check_stored
from batchyard.server.answers import answer
from batchyard.server.downloads import Download, check, compressed, plain, wants_gzip
from batchyard.server.gate import limits_of, project_of
from batchyard.server.params import expires_after_of, limit_of, object_in, one_of, query_of
from batchyard.server.promises import once
from batchyard.server.purposes import check_content, check_purpose, end_of
from batchyard.server.unnamed import unless_named
from batchyard.server.uploading import FORM_BYTES_MAX, Form, receive, too_large
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import file_id
from batchyard.wire.objects import Deleted, Page

__all__ = ["content", "delete", "list_", "retrieve", "upload"]

_KEPT_BACK = ("assistants", "user_data")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


async def upload(request: Request, yard: Yard) -> Response:
    """Take a file; answered when its bytes are durable, whatever they say."""
    limits = limits_of(request.scope)
    announced_bytes = int(request.headers.get("content-length", 0))
    if announced_bytes > limits.file_bytes_max + FORM_BYTES_MAX:
        raise too_large(limits)
    await check_stored(request, yard, max(0, announced_bytes - FORM_BYTES_MAX))
    id = file_id(yard.chance)
    blob = f"inputs/{id}"
    form = await receive(
        request.stream(),
        request.headers.get("content-type", ""),
        limits=limits,
        runner=yard.disk,
        create=lambda: yard.blobs.create(blob),
    )
    writing = form.upload.writing
    asked = form.fields | {"": [form.upload.filename, writing.size_bytes, writing.sha256]}

    async def make(promise: Promise | None) -> Response:
        row = await _named(form, id, blob, request, yard)
        async with unless_named(yard, blob):
            return answer(await yard.store.run(yard.records.add_file, row, promise))

    try:
        return await once(request, yard, asked, make)
    finally:
        await yard.disk.run(writing.abandon)


async def _named(form: Form, id: str, blob: str, request: Request, yard: Yard) -> FileRow:
    purpose = form.fields.get("purpose")
    if purpose is None:
        raise ApiError.missing("purpose")
    uploaded = form.upload
    check_purpose(purpose, uploaded.filename, limits_of(request.scope))
    lifetime = expires_after_of("expires_after", _nested(form.fields, "expires_after"))
    assert uploaded.scan is not None
    digest = await yard.disk.run(uploaded.scan.finish)
    if purpose == "batch":
        check_content(digest, limits_of(request.scope))
    sha256 = await yard.disk.run(uploaded.writing.commit)
    now = yard.now()
    return FileRow(
        id=id,
        project_id=project_of(request.scope),
        purpose=purpose,
        filename=uploaded.filename,
        size_bytes=uploaded.writing.size_bytes,
        sha256=sha256,
        created_at=now,
        expires_at=end_of(purpose, lifetime, now),
        parts=(Part(blob, uploaded.writing.size_bytes),),
        digest=msgspec.json.encode(digest) if purpose == "batch" else None,
    )


async def list_(request: Request, yard: Yard) -> Response:
    """List files, newest first unless asked otherwise."""
    limit, after = limit_of(request, FILES_PAGE), query_of(request, "after")
    order = one_of(request, "order", ("desc", "asc"))
    shown, more = await yard.pages.run(
        yard.records.files,
        project_of(request.scope),
        yard.now(),
        after=after,
        limit=limit,
        ascending=order == "asc",
        purpose=query_of(request, "purpose"),
    )
    return answer(Page.of(shown, has_more=more))


async def retrieve(request: Request, yard: Yard) -> Response:
    """Show one file."""
    id = request.path_params["id"]
    found = await yard.pages.run(yard.records.file, project_of(request.scope), id, yard.now())
    if found is None:
        raise ApiError.no_such_file(id)
    return answer(found)


async def delete(request: Request, yard: Yard) -> Response:
    """Delete a file; a batch that reads it keeps its bytes until it ends."""
    id = request.path_params["id"]
    project = project_of(request.scope)
    if not await yard.store.run(yard.records.delete_file, project, id, yard.now()):
        raise ApiError.no_such_file(id)
    yard.ring()
    return answer(Deleted(id=id, object="file"))


async def content(request: Request, yard: Yard) -> Response:
    """The bytes of a file, or a range of them."""
    id = request.path_params["id"]
    found = await yard.pages.run(yard.records.content, project_of(request.scope), id, yard.now())
    if found is None:
        raise ApiError.no_such_file(id)
    if found.purpose in _KEPT_BACK:
        raise ApiError(400, f"Not allowed to download files of purpose: {found.purpose}")
    etag = f'"{found.sha256}"'
    batch = found.purpose in ("batch", "batch_output")
    headers = {
        "accept-ranges": "bytes",
        "etag": etag,
        "content-disposition": _attachment(found.filename),
        "x-content-type-options": "nosniff",
        "vary": "Accept-Encoding",
        "content-type": "application/jsonl" if batch else "application/octet-stream",
    }
    if request.headers.get("if-none-match", "").removeprefix("W/") == etag:
        return Response(status_code=304, headers=headers)
    span = _span(request, found.size_bytes, etag)
    headers["content-length"] = str(span.end - span.start)
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{found.size_bytes}"
    if request.method == "HEAD":
        return Response(status_code=206 if span.partial else 200, headers=headers)
    await check(request, yard, found)
    if wants_gzip(request, found.size_bytes):
        # What is compressed has no length yet, and is only weakly the same.
        del headers["content-length"]
        headers |= {"content-encoding": "gzip", "etag": f"W/{etag}"}
        whole = compressed(yard, found)
        return Download(whole, request, yard, size_bytes=found.size_bytes, headers=headers)
    return Download(
        plain(yard, found, span.start, span.end),
        request,
        yard,
        size_bytes=span.end - span.start,
        status_code=206 if span.partial else 200,
        headers=headers,
    )


def _attachment(filename: str) -> str:
    """A file name for those who know only ASCII, and as it is for all others."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


class _Span(NamedTuple):
    """The bytes from `start` up to `end`."""

    start: int
    end: int
    partial: bool


def _span(request: Request, size_bytes: int, etag: str) -> _Span:
    whole = _Span(0, size_bytes, False)
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag) != etag:
        return whole
    first, last = found.groups()
    if not first and not last:
        return whole
    start = int(first) if first else max(0, size_bytes - int(last))
    end = min(size_bytes, int(last) + 1) if first and last else size_bytes
    if first and last and int(last) < start:
        return whole
    if start >= size_bytes or (not first and int(last) == 0):
        raise ApiError(
            416,
            f"The file has {size_bytes:,} bytes; the range asked for is not within them.",
            headers={"content-range": f"bytes */{size_bytes}"},
        )
    return _Span(start, end, True)


def _nested(fields: dict[str, str], name: str) -> object:
    """The nested form field `name[key]` of OpenAI's clients, or `name.key` of Azure's.

    It may as well be one field with an object in JSON.
    """
    nested: dict[str, object] = {}
    for field, text in fields.items():
        found = re.fullmatch(rf"{name}(?:\[(\w+)\]|\.(\w+))", field)
        if found:
            digits = re.fullmatch(r"-?[0-9]{1,30}", text)
            nested[found[1] or found[2]] = int(text) if digits else text
    if name in fields and not nested:
        return object_in(name, fields[name])
    return nested or None
