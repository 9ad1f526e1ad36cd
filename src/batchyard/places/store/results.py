"""The results of a batch so far: what is recorded while it runs, its files after it ended."""

from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, select

from batchyard.places.store.opening import Store
from batchyard.places.store.rows import Part
from batchyard.places.store.schema import batches, files, segments
from batchyard.wire.objects import BatchStatus

__all__ = ["Kept", "ResultRows", "Results"]

Kind = Literal["output", "error"]
_ENDED = ("failed", "completed", "expired", "cancelled")


class Kept(Struct, frozen=True):
    """The first `size_bytes` of a blob: whole lines, which will never be others."""

    kind: Kind
    blob: str
    size_bytes: int


class Results(Struct, frozen=True, kw_only=True):
    """What there is of a batch's results, in the order in which their blobs were begun.

    `lines` counts by kind. `gone` names the file that is deleted or has expired.
    """

    status: BatchStatus
    ended: bool
    kept: tuple[Kept, ...]
    lines: dict[Kind, int]
    gone: dict[Kind, str]


class ResultRows:
    """The rows that say where results are."""

    _store: Store

    def results(self, project_id: str, batch_id: str, now: int) -> Results | None:
        """What is recorded of a batch at this moment."""
        with self._store.reading() as connection:
            batch = connection.execute(
                select(batches).where(batches.c.project_id == project_id, batches.c.id == batch_id)
            ).first()
            if batch is None:
                return None
            if batch.status in _ENDED:
                return _of_files(connection, batch, now)
            rows = connection.execute(
                select(segments).where(segments.c.batch_id == batch_id).order_by(segments.c.blob)
            ).all()
        lines: dict[Kind, int] = {"output": 0, "error": 0}
        for row in rows:
            lines[row.kind] += row.lines
        return Results(
            status=batch.status,
            ended=False,
            kept=tuple(Kept(row.kind, row.blob, row.size_bytes) for row in rows),
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
        kept += (Kept(kind, part.blob, part.size_bytes) for part in parts)
    return Results(
        status=batch.status,
        ended=True,
        # Blobs are named in the order in which they were begun.
        kept=tuple(sorted(kept, key=lambda one: one.blob)),
        lines={"output": batch.completed, "error": batch.total - batch.completed},
        gone=gone,
    )
