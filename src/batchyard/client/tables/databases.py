"""Tables of databases, by whatever SQLAlchemy can reach: rows of a query, and tables written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Executable, create_engine, inspect, select, text
from sqlalchemy import table as table_named
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import quoted_name

from batchyard.client.tables.errors import TableError
from batchyard.client.tables.sources import Query

__all__ = ["query_rows", "table_rows"]

_ROWS = 2_000

Row = dict[str, Any]


def query_rows(query: Query) -> Iterator[Row]:
    """The rows that a statement gives."""
    return _rows(query.url, text(query.statement).bindparams(**query.parameters))


def table_rows(url: str | Path, table: str | None) -> Iterator[Row]:
    """The rows of a table, or of the only one; a path is that of a file of SQLite's."""
    place = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else url
    name = quoted_name(_chosen(place, table), quote=True)
    return _rows(place, select(text("*")).select_from(table_named(name)))


def _rows(url: str | URL, statement: Executable) -> Iterator[Row]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect().execution_options(yield_per=_ROWS) as connection:
        found = connection.execute(statement)
        names = list(found.keys())
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            raise TableError(f"The statement gives the column '{twice}' more than once.")
        for values in found:
            yield dict(zip(names, values, strict=True))


def _chosen(url: str | URL, table: str | None) -> str:
    if table is not None:
        return table
    engine = create_engine(url, poolclass=NullPool)
    names = inspect(engine).get_table_names()
    if len(names) != 1:
        raise TableError(f"The database has the tables {', '.join(names) or '(none)'}: name one.")
    return names[0]
