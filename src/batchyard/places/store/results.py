"""The results of a batch so far: what is recorded while it runs, its files after it ended."""

from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, select

from batchyard.places.store.files import TERMINAL, content_of
from batchyard.places.store.opening import Store
from batchyard.places.store.rows import Content, Part
from batchyard.places.store.schema import batches, files, segments
from batchyard.wire.objects import BatchStatus

__all__ = ["Kept", "Original", "ResultRows", "Results"]

Kind = Literal["output", "error"]


class Kept(Struct, frozen=True):
    """The first `size_bytes` of a blob: whole lines, which will never be others."""

    kind: Kind
    blob: str
    size_bytes: int
    sha256: str


class Results(Struct, frozen=True, kw_only=True):
    """What there is of a batch's results, in the order in which their blobs were begun.

    `lines` counts by kind. `gone` names the file that is deleted or has expired.
    """

    status: BatchStatus
    ended: bool
    kept: tuple[Kept, ...]
    lines: dict[Kind, int]
    gone: dict[Kind, str]


class Original(Struct, frozen=True, kw_only=True):
    """A batch whose lines may be asked again; `content` is its input, as long as it is kept."""

    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None
    output_expires_after_seconds: int | None
    priority: int
    input_file_id: str
    content: Content | None
    results: Results


class ResultRows:
    """The rows that say where results are."""

    _store: Store

    def results(self, project_id: str, batch_id: str, now: int) -> Results | None:
        """What is recorded of a batch at this moment."""
        with self._store.reading() as connection:
            batch = _one(connection, project_id, batch_id)
            return _results(connection, batch, now) if batch is not None else None

    def original(self, project_id: str, batch_id: str, now: int) -> Original | None:
        """A batch with its input and its results."""
        with self._store.reading() as connection:
            batch = _one(connection, project_id, batch_id)
            if batch is None:
                return None
            content = content_of(connection, project_id, batch.input_file_id, now)
            return Original(
                endpoint=batch.endpoint,
                completion_window=batch.completion_window,
                metadata=batch.metadata,
                output_expires_after_seconds=batch.output_expires_after_seconds,
                priority=batch.priority,
                input_file_id=batch.input_file_id,
                content=None if content is None or content.gone else content,
                results=_results(connection, batch, now),
            )


def _one(connection: Connection, project_id: str, batch_id: str) -> Any:
    return connection.execute(
        select(batches).where(batches.c.project_id == project_id, batches.c.id == batch_id)
    ).first()


def _results(connection: Connection, batch: Any, now: int) -> Results:
    rows = connection.execute(
        select(segments).where(segments.c.batch_id == batch.id).order_by(segments.c.blob)
    ).all()
    # One that was stopped has ended without files, and keeps what it had.
    if batch.status in TERMINAL and not rows:
        return _of_files(connection, batch, now)
    lines: dict[Kind, int] = {"output": 0, "error": 0}
    for row in rows:
        lines[row.kind] += row.lines
    return Results(
        status=batch.status,
        ended=batch.status in TERMINAL,
        kept=tuple(Kept(row.kind, row.blob, row.size_bytes, row.sha256) for row in rows),
        lines=lines,
        gone={},
    )


def _of_files(connection: Connection, batch: Any, now: int) -> Results:
    kept: list[Kept] = []
    gone: dict[Kind, str] = {}
    kinds: tuple[tuple[Kind, str | None], ...] = (
        ("output", batch.output_file_id),
        ("error", batch.error_file_id),
    )
    for kind, file_id in kinds:
        if file_id is None:
            continue
        file = connection.execute(select(files).where(files.c.id == file_id)).first()
        expired = file is not None and file.expires_at is not None and file.expires_at <= now
        if file is None or file.deleted_at is not None or expired:
            gone[kind] = file_id
            continue
        parts = (Part(*part) for part in file.parts)
        kept += (
            Kept(kind, part.blob, part.size_bytes, part.sha256 or file.sha256) for part in parts
        )
    return Results(
        status=batch.status,
        ended=True,
        # Blobs are named in the order in which they were begun.
        kept=tuple(sorted(kept, key=lambda one: one.blob)),
        lines={"output": batch.completed, "error": batch.total - batch.completed},
        gone=gone,
    )
