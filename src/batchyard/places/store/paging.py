"""Pages of what a project has, in the order in which it was made."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, and_, select

__all__ = ["page_of"]


def page_of(
    connection: Connection,
    query: Any,
    table: Table,
    project_id: str,
    *,
    after: str | None,
    limit: int,
    ascending: bool,
) -> tuple[Sequence[Row[Any]], bool]:
    """One page of rows and whether there are more; an unknown `after` gives none."""
    sequence: Column[int] = table.c.sequence
    if after is not None:
        start = connection.execute(
            select(sequence).where(and_(table.c.id == after, table.c.project_id == project_id))
        ).scalar()
        if start is None:
            return (), False
        query = query.where(sequence > start if ascending else sequence < start)
    order = sequence.asc() if ascending else sequence.desc()
    rows = connection.execute(query.order_by(order).limit(limit + 1)).all()
    return rows[:limit], len(rows) > limit
