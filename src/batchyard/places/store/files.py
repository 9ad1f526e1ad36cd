"""Files by project: their rows, and which blobs are their bytes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from batchyard.places.store.installation import count_named
from batchyard.places.store.paging import page_of
from batchyard.places.store.promises import Promise, Promises, keep
from batchyard.places.store.rows import Content, FileRow, Part
from batchyard.places.store.schema import batches, files, segments, upload_parts
from batchyard.wire.objects import File

__all__ = ["DiscardedFile", "Files", "content_of", "insert_file"]

# A batch in one of these will never read its input or write results again.
TERMINAL = ("failed", "completed", "expired", "cancelled")

# The hash of what has no bytes any more, and how long its row is kept.
_FORGOTTEN = ""
_MARKS_SECONDS = 86_400


class DiscardedFile(NamedTuple):
    """A file that is over, with the blobs that are its bytes."""

    sequence: int
    id: str
    blobs: tuple[str, ...]


class Files(Promises):
    """The rows behind the Files API, and what becomes of bytes that nobody needs."""

    def add_file(self, file: FileRow, promise: Promise | None = None) -> File:
        """Name bytes that are durable already."""
        with self._store.writing() as connection:
            made = insert_file(connection, file)
            keep(connection, promise, made)
            self._reach("file.before_commit")
        self._reach("file.after_commit")
        return made

    def file(self, project_id: str, file_id: str, now: int) -> File | None:
        """One file, unless it is deleted or has expired."""
        with self._store.reading() as connection:
            row = connection.execute(
                select(*_FILE).where(files.c.id == file_id, *_live(project_id, now))
            ).first()
        return _file(row) if row else None

    def content(self, project_id: str, file_id: str, now: int) -> Content | None:
        """Where the bytes of one live file are."""
        with self._store.reading() as connection:
            found = content_of(connection, project_id, file_id, now)
        return found if found and not found.gone else None

    def files(
        self,
        project_id: str,
        now: int,
        *,
        after: str | None,
        limit: int,
        ascending: bool,
        purpose: str | None,
    ) -> tuple[tuple[File, ...], bool]:
        """One page of live files, and whether there are more; an unknown `after` gives none."""
        query = select(*_FILE).where(*_live(project_id, now))
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        with self._store.reading() as connection:
            rows, more = page_of(
                connection, query, files, project_id, after=after, limit=limit, ascending=ascending
            )
        return tuple(_file(row) for row in rows), more

    def delete_file(self, project_id: str, file_id: str, now: int) -> bool:
        """Hide a file for good; its bytes go when no running batch needs them any more."""
        with self._store.writing() as connection:
            return (
                connection.execute(
                    update(files)
                    .where(files.c.id == file_id, *_live(project_id, now))
                    .values(deleted_at=now)
                ).rowcount
                == 1
            )

    def discarded(self, now: int, *, after: int = 0, limit: int = -1) -> Sequence[DiscardedFile]:
        """Deleted and expired files that nothing reads any more, in their order."""
        needed = exists().where(
            batches.c.input_file_id == files.c.id, batches.c.status.not_in(TERMINAL)
        )
        with self._store.reading() as connection:
            rows = connection.execute(
                select(files.c.sequence, files.c.id, files.c.parts)
                .where(files.c.sequence > after)
                .where(or_(files.c.deleted_at.is_not(None), files.c.expires_at <= now))
                .where(files.c.sha256 != _FORGOTTEN)
                .where(~needed)
                .order_by(files.c.sequence)
                .limit(limit if limit >= 0 else None)
            ).all()
        return [
            DiscardedFile(row.sequence, row.id, tuple(part[0] for part in row.parts))
            for row in rows
        ]

    def named_blobs(self) -> set[str]:
        """All blobs that a file, a segment or a part of an upload names."""
        with self._store.reading() as connection:
            parts = connection.execute(select(files.c.parts)).scalars()
            named = {part[0] for file in parts for part in file}
            for column in (segments.c.blob, upload_parts.c.blob):
                named |= set(connection.execute(select(column)).scalars())
            return named

    def names_blob(self, blob: str) -> bool:
        """Whether an input or a part of an upload is this blob, which has one name at most."""
        with self._store.reading() as connection:
            file = select(files.c.id).where(files.c.id == blob.removeprefix("inputs/"))
            part = select(upload_parts.c.id).where(upload_parts.c.id == blob.removeprefix("parts/"))
            return any(connection.execute(row).first() is not None for row in (file, part))

    def forget_files(self, ids: Sequence[str], now: int) -> None:
        """Note that the bytes of files are gone.

        For a day their rows still mark places in the list, for those who page through it.
        """
        with self._store.writing() as connection:
            connection.execute(
                update(files)
                .where(files.c.id.in_(ids))
                .values(sha256=_FORGOTTEN, parts=[], digest=None, deleted_at=now)
            )

    def forget_marks(self, now: int) -> None:
        """Drop the rows of files whose bytes are gone for a day."""
        with self._store.writing() as connection:
            connection.execute(
                files.delete().where(
                    files.c.sha256 == _FORGOTTEN, files.c.deleted_at <= now - _MARKS_SECONDS
                )
            )


_FILE = [
    files.c.id,
    files.c.size_bytes,
    files.c.created_at,
    files.c.expires_at,
    files.c.filename,
    files.c.purpose,
]


def insert_file(connection: Connection, file: FileRow) -> File:
    """Name the bytes of a file within a transaction."""
    values = msgspec.structs.asdict(file)
    values["parts"] = msgspec.to_builtins(file.parts)
    connection.execute(_NAME, values)
    count_named(connection)
    return _file(file)


# Executed for each draw of lines, each download and each end of a batch, so built once.
_NAME = insert(files)
_ONE_FILE = select(files).where(
    files.c.id == bindparam("the_file"), files.c.project_id == bindparam("the_project")
)


def content_of(connection: Connection, project_id: str, file_id: str, now: int) -> Content | None:
    """Where the bytes of a file are, even of one that is gone but not yet forgotten."""
    row = connection.execute(_ONE_FILE, {"the_file": file_id, "the_project": project_id}).first()
    if row is None:
        return None
    return Content(
        file_id=row.id,
        filename=row.filename,
        purpose=row.purpose,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        created_at=row.created_at,
        parts=tuple(Part(*part) for part in row.parts),
        digest=row.digest,
        gone=row.deleted_at is not None or (row.expires_at is not None and row.expires_at <= now),
    )


def _live(project_id: str, now: int) -> Sequence[Any]:
    return (
        files.c.project_id == project_id,
        files.c.deleted_at.is_(None),
        or_(files.c.expires_at.is_(None), files.c.expires_at > now),
    )


def _file(row: Any) -> File:
    return File(
        id=row.id,
        bytes=row.size_bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
    )
