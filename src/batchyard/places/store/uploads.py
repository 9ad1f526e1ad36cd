"""Uploads: files that come in parts, until they are one file or nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, exists, insert, select, update

from batchyard.places.store.files import Files, insert_file
from batchyard.places.store.installation import count_named
from batchyard.places.store.promises import Promise, keep
from batchyard.places.store.rows import FileRow
from batchyard.places.store.schema import upload_parts, uploads
from batchyard.wire.objects import File, Upload, UploadStatus

__all__ = ["UploadPartRow", "UploadRow", "Uploads", "shown"]

# So long after its end the row of an upload is kept, to say how it ended.
_KEPT_SECONDS = 86_400


class UploadRow(Struct, frozen=True, kw_only=True):
    """A file that comes in parts; `file_seconds` is the lifetime it asks for."""

    id: str
    project_id: str
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    status: UploadStatus = "pending"
    created_at: int
    expires_at: int
    file_seconds: int | None = None
    file_id: str | None = None


class UploadPartRow(Struct, frozen=True, kw_only=True):
    """A part whose bytes are durable already."""

    id: str
    upload_id: str
    created_at: int
    size_bytes: int
    blob: str


class Uploads(Files):
    """The rows behind the Uploads API."""

    def add_upload(self, new: UploadRow, promise: Promise | None = None) -> Upload:
        """Begin an upload."""
        made = shown(new)
        with self._store.writing() as connection:
            connection.execute(insert(uploads).values(**msgspec.structs.asdict(new)))
            keep(connection, promise, made)
        return made

    def upload(self, project_id: str, upload_id: str, now: int) -> UploadRow | None:
        """One upload as it is now: one whose time is over has expired."""
        with self._store.reading() as connection:
            return _one(connection, project_id, upload_id, now)

    def add_part(self, project_id: str, part: UploadPartRow, now: int) -> UploadRow | None:
        """Name a part's bytes, if the upload that is returned is still pending."""
        with self._store.writing() as connection:
            found = _one(connection, project_id, part.upload_id, now)
            if found is not None and found.status == "pending":
                connection.execute(insert(upload_parts).values(**msgspec.structs.asdict(part)))
                count_named(connection)
        return found

    def parts_of(self, upload_id: str) -> dict[str, UploadPartRow]:
        """The parts that are there, by id."""
        with self._store.reading() as connection:
            rows = connection.execute(
                select(upload_parts).where(upload_parts.c.upload_id == upload_id)
            )
            return {row.id: UploadPartRow(**row._mapping) for row in rows}

    def complete_upload(
        self,
        upload: UploadRow,
        part_ids: Sequence[str],
        file: FileRow,
        promise: Promise | None = None,
    ) -> Upload | None:
        """Make these parts the file; None where the upload is no longer pending."""
        with self._store.writing() as connection:
            if not _end(connection, upload.id, "completed", file_id=file.id):
                return None
            made = shown(upload, insert_file(connection, file))
            connection.execute(delete(upload_parts).where(upload_parts.c.id.in_(part_ids)))
            keep(connection, promise, made)
            self._reach("file.before_commit")
        self._reach("file.after_commit")
        return made

    def cancel_upload(self, project_id: str, upload_id: str, now: int) -> UploadRow | None:
        """Give an upload up; one that has ended is shown as it is."""
        with self._store.writing() as connection:
            found = _one(connection, project_id, upload_id, now)
            if found is not None and found.status == "pending":
                _end(connection, upload_id, "cancelled")
                found = msgspec.structs.replace(found, status="cancelled")
        return found

    def expire_uploads(self, now: int) -> None:
        """End the uploads whose time is over."""
        with self._store.writing() as connection:
            connection.execute(
                update(uploads)
                .where(uploads.c.status == "pending", uploads.c.expires_at <= now)
                .values(status="expired")
            )

    def spare_parts(self, *, after: str = "", limit: int = -1) -> Sequence[tuple[str, str]]:
        """Ids and blobs of parts that will be in no file, by id."""
        with self._store.reading() as connection:
            rows = connection.execute(
                select(upload_parts.c.id, upload_parts.c.blob)
                .join(uploads, uploads.c.id == upload_parts.c.upload_id)
                .where(uploads.c.status != "pending", upload_parts.c.id > after)
                .order_by(upload_parts.c.id)
                .limit(limit if limit >= 0 else None)
            )
            return [(row.id, row.blob) for row in rows]

    def forget_parts(self, part_ids: Sequence[str]) -> None:
        """Drop the rows of parts whose bytes are gone."""
        with self._store.writing() as connection:
            connection.execute(delete(upload_parts).where(upload_parts.c.id.in_(part_ids)))

    def forget_uploads(self, now: int) -> None:
        """Drop the rows of uploads that ended long ago."""
        has_parts = exists().where(upload_parts.c.upload_id == uploads.c.id)
        with self._store.writing() as connection:
            connection.execute(
                delete(uploads)
                .where(uploads.c.status != "pending", uploads.c.expires_at <= now - _KEPT_SECONDS)
                .where(~has_parts)
            )


def shown(upload: UploadRow, file: File | None = None) -> Upload:
    """An upload as the API shows it; one that became a file is completed."""
    return Upload(
        id=upload.id,
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        filename=upload.filename,
        purpose=upload.purpose,
        status="completed" if file else upload.status,
        file=file,
    )


def _one(connection: Connection, project_id: str, upload_id: str, now: int) -> UploadRow | None:
    row = connection.execute(
        select(uploads).where(uploads.c.id == upload_id, uploads.c.project_id == project_id)
    ).first()
    if row is None:
        return None
    found = UploadRow(**row._mapping)
    if found.status == "pending" and found.expires_at <= now:
        return msgspec.structs.replace(found, status="expired")
    return found


def _end(connection: Connection, upload_id: str, status: str, **values: Any) -> bool:
    ended = connection.execute(
        update(uploads)
        .where(uploads.c.id == upload_id, uploads.c.status == "pending")
        .values(status=status, **values)
    )
    return ended.rowcount == 1
