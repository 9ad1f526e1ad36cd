"""A new database gets today's tables at once; only older ones go through the migrations."""

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from batchyard.places.store.schema import metadata, projects

__all__ = ["NEWEST", "found", "version_of"]

# The newest migration; a test holds it against the migrations folder, and the tables made here
# against those that the migrations make.
NEWEST = "0006"

# As Alembic makes it.
_versions = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def version_of(connection: Connection) -> str | None:
    """The migration a database is at; None where there is none of our tables."""
    if not inspect(connection).has_table(_versions.name):
        return None
    return connection.execute(select(_versions.c.version_num)).scalar()


def found(connection: Connection) -> None:
    """Make the tables and the first project in a database that has none."""
    metadata.create_all(connection)
    connection.execute(insert(projects).values(id="proj_default", name="default", created_at=0))
    _versions.create(connection)
    connection.execute(insert(_versions).values(version_num=NEWEST))
