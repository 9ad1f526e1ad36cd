"""Which database this is: an id that is drawn once, and a count that only grows.

The count is the generation. Each transaction that names a blob adds one to it, so that of two
copies of a database the one with the lower generation does not know all blobs of the other.
"""

from sqlalchemy import Connection, insert, select, update

from batchyard.places.store.opening import Store
from batchyard.places.store.schema import files, installation, segments, upload_parts

__all__ = ["InstallationRow", "count_named"]


class InstallationRow:
    """The one row of its table."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def mark(self) -> tuple[str, int] | None:
        """Id and generation; None before the first server has started on this database."""
        with self._store.reading() as connection:
            row = connection.execute(_MARK).first()
        return None if row is None else (row.id, row.generation)

    def names_blobs(self) -> bool:
        """Whether any row names a blob."""
        with self._store.reading() as connection:
            return any(
                connection.execute(select(table).limit(1)).first() is not None
                for table in (files, segments, upload_parts)
            )

    def enter(self, new_id: str, generation: int) -> tuple[str, int]:
        """Enter the row where there is none; raise its generation to at least this."""
        with self._store.writing() as connection:
            if connection.execute(_MARK).first() is None:
                connection.execute(insert(installation).values(id=new_id, generation=generation))
            connection.execute(
                update(installation)
                .where(installation.c.generation < generation)
                .values(generation=generation)
            )
            row = connection.execute(_MARK).one()
            return row.id, row.generation


_MARK = select(installation.c.id, installation.c.generation)
_COUNT = update(installation).values(generation=installation.c.generation + 1)


def count_named(connection: Connection) -> None:
    """Count that the transaction under way names a blob."""
    connection.execute(_COUNT)
