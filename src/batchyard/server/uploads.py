"""Uploads: create, add parts, complete, cancel; for files that come in parts."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.log import log
from batchyard.places.store.promises import Promise
from batchyard.places.store.rows import FileRow, Part
from batchyard.places.store.uploads import UploadPartRow, UploadRow, shown
from batchyard.rules.limits import (
    UPLOAD_BYTES_MAX,
    UPLOAD_PART_BYTES_MAX,
    UPLOAD_PARTS_MAX,
    UPLOAD_SECONDS,
)
from batchyard.rules.validate import Scan
from batchyard.server.allowance import check_stored
from batchyard.server.answers import answer
from batchyard.server.gate import limits_of, project_of
from batchyard.server.params import (
    expires_after_of,
    integer_of,
    json_object,
    string_of,
    strings_of,
)
from batchyard.server.promises import once
from batchyard.server.purposes import check_content, check_purpose, end_of
from batchyard.server.unnamed import unless_named
from batchyard.server.uploading import FORM_BYTES_MAX, label, receive, too_large
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import file_id, part_id, upload_id
from batchyard.wire.objects import UploadPart

__all__ = ["add_part", "cancel", "complete", "create"]

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
# What is read of parts at a time, so that others get at the disk between.
_TURN_BYTES = 8 << 20

# Each part may be sent again; of a small upload, this may be sent in all.
_SENT_BYTES_MIN = 2 * UPLOAD_PART_BYTES_MAX


async def create(request: Request, yard: Yard) -> Response:
    """Begin an upload."""
    body = await json_object(request)
    return await once(request, yard, body, partial(_create, request, yard, body))


async def _create(
    request: Request, yard: Yard, body: dict[str, Any], promise: Promise | None
) -> Response:
    size_bytes = integer_of(body, "bytes", (0, UPLOAD_BYTES_MAX))
    if size_bytes is None:
        raise ApiError.missing("bytes")
    filename, purpose = label(string_of(body, "filename")), string_of(body, "purpose")
    check_purpose(purpose, filename, limits_of(request.scope))
    await check_stored(request, yard, size_bytes)
    now = yard.now()
    new = UploadRow(
        id=upload_id(yard.chance),
        project_id=project_of(request.scope),
        filename=filename,
        purpose=purpose,
        mime_type=string_of(body, "mime_type"),
        bytes=size_bytes,
        created_at=now,
        expires_at=now + UPLOAD_SECONDS,
        file_seconds=expires_after_of("expires_after", body.get("expires_after")),
    )
    return answer(await yard.store.run(yard.records.add_upload, new, promise))


async def add_part(request: Request, yard: Yard) -> Response:
    """Take a part; answered when its bytes are durable. Parts may come side by side.

    One that is sent again is another part: two that are alike may both be meant. `part_ids` names
    those that count, and the others go with the upload.
    """
    upload = await _pending(request, yard, "add a part to")
    there = await yard.store.run(yard.records.parts_of, upload.id)
    limits = msgspec.structs.replace(limits_of(request.scope), file_bytes_max=UPLOAD_PART_BYTES_MAX)
    if int(request.headers.get("content-length", 0)) > UPLOAD_PART_BYTES_MAX + FORM_BYTES_MAX:
        raise too_large(limits, "data")
    most_bytes = max(2 * upload.bytes, _SENT_BYTES_MIN)
    if len(there) >= UPLOAD_PARTS_MAX or _size(there.values()) >= most_bytes:
        raise ApiError(
            400,
            f"The upload has {len(there):,} parts of {_size(there.values()):,} bytes together, and "
            "may have no more.",
        )
    id, now = part_id(yard.chance), yard.now()
    blob = f"parts/{id}"
    form = await receive(
        request.stream(),
        request.headers.get("content-type", ""),
        limits=limits,
        runner=yard.disk,
        create=lambda: yard.blobs.create(blob),
        field="data",
    )
    writing = form.upload.writing
    try:
        await yard.disk.run(writing.commit)
    finally:
        await yard.disk.run(writing.abandon)
    part = UploadPartRow(
        id=id, upload_id=upload.id, created_at=now, size_bytes=writing.size_bytes, blob=blob
    )
    async with unless_named(yard, blob):
        found = await yard.store.run(yard.records.add_part, upload.project_id, part, yard.now())
    if found is None or found.status != "pending":
        await yard.disk.run(yard.blobs.delete, [blob])
        raise ApiError.upload_is(found.status if found else "expired", "add a part to")
    return answer(UploadPart(id=id, created_at=now, upload_id=upload.id))


async def complete(request: Request, yard: Yard) -> Response:
    """Make the parts, in the order that is given now, one file."""
    body = await json_object(request)
    return await once(request, yard, body, partial(_complete, request, yard, body))


async def _complete(
    request: Request, yard: Yard, body: dict[str, Any], promise: Promise | None
) -> Response:
    upload = await _pending(request, yard, "complete")
    part_ids, md5 = strings_of(body, "part_ids"), _md5_of(body)
    parts = await _named(upload, part_ids, yard)
    scan = Scan(limits_of(request.scope)) if upload.purpose == "batch" else None
    reading = _Reading(yard.blobs, parts, scan, md5=md5 is not None)
    try:
        while await yard.disk.run(reading.read_on):
            pass
    except BlobCorruptError as fault:
        # Who cancels an upload that is being completed has its parts deleted.
        await _pending(request, yard, "complete")
        log.error("file_corrupt", file=upload.id, why=str(fault))
        raise ApiError.file_corrupt(upload.id) from fault
    if md5 is not None and reading.md5 != md5:
        raise ApiError(
            400,
            f"Invalid 'md5': the parts in this order have the MD5 checksum '{reading.md5}', not "
            f"'{md5}'.",
            code="invalid_value",
            param="md5",
        )
    digest = None if scan is None else await yard.disk.run(scan.finish)
    if digest is not None:
        check_content(digest, limits_of(request.scope))
    now = yard.now()
    row = FileRow(
        id=file_id(yard.chance),
        project_id=upload.project_id,
        purpose=upload.purpose,
        filename=upload.filename,
        size_bytes=upload.bytes,
        sha256=reading.sha256,
        created_at=now,
        expires_at=end_of(upload.purpose, upload.file_seconds, now),
        parts=tuple(reading.parts),
        digest=None if digest is None else msgspec.json.encode(digest),
    )
    made = await yard.store.run(yard.records.complete_upload, upload, part_ids, row, promise)
    if made is None:
        now_found = await yard.store.run(yard.records.upload, upload.project_id, upload.id, now)
        raise ApiError.upload_is(now_found.status if now_found else "expired", "complete")
    yard.ring()
    return answer(made)


async def cancel(request: Request, yard: Yard) -> Response:
    """Give an upload up, and with it the parts that have come."""
    id = request.path_params["id"]
    found = await yard.store.run(
        yard.records.cancel_upload, project_of(request.scope), id, yard.now()
    )
    if found is None:
        raise ApiError.no_such_upload(id)
    if found.status != "cancelled":
        raise ApiError.upload_is(found.status, "cancel")
    yard.ring()
    return answer(shown(found))


async def _pending(request: Request, yard: Yard, asked: str) -> UploadRow:
    id = request.path_params["id"]
    found = await yard.store.run(yard.records.upload, project_of(request.scope), id, yard.now())
    if found is None:
        raise ApiError.no_such_upload(id)
    if found.status != "pending":
        raise ApiError.upload_is(found.status, asked)
    return found


async def _named(upload: UploadRow, part_ids: Sequence[str], yard: Yard) -> Sequence[UploadPartRow]:
    """The parts of these ids, which together must be as long as was announced."""
    there = await yard.store.run(yard.records.parts_of, upload.id)
    for id in part_ids:
        if id not in there:
            raise _bad_parts(f"the upload has no part '{id[:100]}'.")
    if len(set(part_ids)) < len(part_ids):
        raise _bad_parts("a part stands in it twice.")
    parts = [there[id] for id in part_ids]
    if _size(parts) != upload.bytes:
        raise _bad_parts(
            f"the parts have {_size(parts)} bytes together, but the upload was announced with "
            f"{upload.bytes} bytes."
        )
    return parts


class _Reading:
    """One pass over the parts: hashes, and what validation wants to know."""

    def __init__(
        self, blobs: Blobs, parts: Sequence[UploadPartRow], scan: Scan | None, *, md5: bool
    ) -> None:
        self._scan = scan
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._turns = self._read(blobs, parts)
        self.parts: list[Part] = []

    @property
    def sha256(self) -> str:
        """Of all parts one after the other."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str | None:
        """The same, where it was asked for."""
        return None if self._md5 is None else self._md5.hexdigest()

    def read_on(self) -> bool:
        """Read for a turn; False when that was the end."""
        return next(self._turns, False)

    def _read(self, blobs: Blobs, parts: Sequence[UploadPartRow]) -> Iterator[bool]:
        turn_bytes = 0
        for part in parts:
            own = hashlib.sha256()
            for chunk in blobs.chunks(part.blob, length=part.size_bytes):
                own.update(chunk)
                self._sha256.update(chunk)
                if self._md5 is not None:
                    self._md5.update(chunk)
                if self._scan is not None:
                    self._scan.feed(chunk)
                turn_bytes += len(chunk)
                if turn_bytes >= _TURN_BYTES:
                    turn_bytes = 0
                    yield True
            self.parts.append(Part(part.blob, part.size_bytes, own.hexdigest()))


def _md5_of(body: dict[str, Any]) -> str | None:
    if body.get("md5") is None:
        return None
    md5 = string_of(body, "md5")
    if not _MD5.fullmatch(md5):
        raise ApiError(
            400,
            "Invalid 'md5': expected 32 hexadecimal digits.",
            code="invalid_value",
            param="md5",
        )
    return md5.lower()


def _size(parts: Iterable[UploadPartRow]) -> int:
    return sum(part.size_bytes for part in parts)


def _bad_parts(what: str) -> ApiError:
    return ApiError(400, f"Invalid 'part_ids': {what}", code="invalid_value", param="part_ids")
