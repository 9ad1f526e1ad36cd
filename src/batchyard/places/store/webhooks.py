"""The endpoints that a project wants to be told at."""

from typing import Any

from sqlalchemy import delete, func, insert, select, update

from batchyard.places.store.opening import Store
from batchyard.places.store.outbox import give_up
from batchyard.places.store.rows import WebhookRow
from batchyard.places.store.schema import webhook_endpoints

__all__ = ["Webhooks"]


class Webhooks:
    """The rows of webhook endpoints; another project's row is as good as none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, project_id: str, new: WebhookRow, most: int) -> bool:
        """Keep a new endpoint; False when the project has as many as it may have."""
        with self._store.writing() as connection:
            there = connection.execute(
                select(func.count())
                .select_from(webhook_endpoints)
                .where(webhook_endpoints.c.project_id == project_id)
            ).scalar_one()
            if there >= most:
                return False
            connection.execute(
                insert(webhook_endpoints).values(
                    project_id=project_id, **{name: getattr(new, name) for name in _NAMES}
                )
            )
            return True

    def one(self, project_id: str, id: str) -> WebhookRow | None:
        """One endpoint."""
        with self._store.reading() as connection:
            row = connection.execute(select(*_ROW).where(*_its(project_id, id))).first()
        return _row(row) if row else None

    def page(
        self, project_id: str, *, after: str | None, limit: int
    ) -> tuple[tuple[WebhookRow, ...], bool]:
        """One page of endpoints, newest first, and whether there are more."""
        sequence = webhook_endpoints.c.sequence
        query = select(*_ROW).where(webhook_endpoints.c.project_id == project_id)
        with self._store.reading() as connection:
            if after is not None:
                start = connection.execute(select(sequence).where(*_its(project_id, after)))
                query = query.where(sequence < (start.scalar() or 0))
            rows = connection.execute(query.order_by(sequence.desc()).limit(limit + 1)).all()
        return tuple(_row(row) for row in rows[:limit]), len(rows) > limit

    def every(self) -> list[WebhookRow]:
        """All endpoints of all projects, oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(select(*_ROW).order_by(webhook_endpoints.c.sequence))
            return [_row(row) for row in rows]

    def change(
        self, project_id: str, id: str, changed: dict[str, Any], now: int
    ) -> WebhookRow | None:
        """Change name, url, types or secrets; one that was disabled is tried again.

        A change that changes nothing leaves `updated_at` as it was.
        """
        with self._store.writing() as connection:
            row = connection.execute(select(*_ROW).where(*_its(project_id, id))).first()
            if row is None:
                return None
            new = {name: value for name, value in changed.items() if value != row._mapping[name]}
            connection.execute(
                update(webhook_endpoints)
                .where(*_its(project_id, id))
                .values(
                    **new,
                    updated_at=now if new else row.updated_at,
                    disabled_at=None,
                    disabled_because=None,
                )
            )
            row = connection.execute(select(*_ROW).where(*_its(project_id, id))).one()
        return _row(row)

    def remove(self, project_id: str, id: str) -> bool:
        """Delete an endpoint; what it was still to be told is given up."""
        with self._store.writing() as connection:
            gone = connection.execute(delete(webhook_endpoints).where(*_its(project_id, id)))
            if gone.rowcount:
                give_up(connection, id, "endpoint_deleted")
        return gone.rowcount == 1


_NAMES = WebhookRow.__struct_fields__
_ROW = [webhook_endpoints.c[name] for name in _NAMES]


def _its(project_id: str, id: str) -> tuple[Any, Any]:
    return webhook_endpoints.c.project_id == project_id, webhook_endpoints.c.id == id


def _row(row: Any) -> WebhookRow:
    return WebhookRow(**{**row._mapping, "event_types": tuple(row.event_types)})
