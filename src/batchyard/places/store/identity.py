"""Who may ask: projects, and the keys that open them."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from batchyard.places.store.opening import Store
from batchyard.places.store.rows import Bearer, KeyRow, ProjectRow
from batchyard.places.store.schema import keys, projects

__all__ = ["Identity"]

# How old the note of a key's last use may become before it is written again.
_USED_SECONDS = 60


class Identity:
    """The rows that say who somebody is; no secret stands in them, only its hash."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # Projects

    def add_project(self, project: ProjectRow) -> bool:
        """Keep a new project; False where its name is taken."""
        try:
            with self._store.writing() as connection:
                connection.execute(insert(projects).values(**msgspec.structs.asdict(project)))
        except IntegrityError:
            return False
        return True

    def project(self, id_or_name: str) -> ProjectRow | None:
        """The project of this id or, where there is none, of this name."""
        with self._store.reading() as connection:
            return _project(connection, id_or_name)

    def all_projects(self) -> list[ProjectRow]:
        """All projects, the archived too, oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(
                select(projects).order_by(projects.c.created_at, projects.c.id)
            ).all()
        return [ProjectRow(**row._mapping) for row in rows]

    def archive_project(self, id_or_name: str, now: int) -> bool:
        """Close a project to all its keys for good; its batches end, and nothing is deleted."""
        with self._store.writing() as connection:
            found = _project(connection, id_or_name)
            if found is None:
                return False
            return (
                connection.execute(
                    update(projects)
                    .where(projects.c.id == found.id, projects.c.archived_at.is_(None))
                    .values(archived_at=now)
                ).rowcount
                == 1
            )

    def set_project(
        self, id_or_name: str, *, profile: str | None, limits: dict[str, int] | None
    ) -> bool:
        """Say what a project is allowed; None stands for what the server's settings say."""
        with self._store.writing() as connection:
            found = _project(connection, id_or_name)
            if found is None:
                return False
            connection.execute(
                update(projects)
                .where(projects.c.id == found.id)
                .values(profile=profile, limits=limits)
            )
        return True

    # Keys

    def add_key(self, key: KeyRow, secret_sha256: str) -> None:
        """Keep a new key by the hash of its secret."""
        with self._store.writing() as connection:
            connection.execute(
                insert(keys).values(**msgspec.structs.asdict(key), secret_sha256=secret_sha256)
            )

    def bearer(self, secret_sha256: str, now: int) -> Bearer | None:
        """The live key with this secret, and its project."""
        with self._store.reading() as connection:
            row = connection.execute(
                select(*_KEY).where(keys.c.secret_sha256 == secret_sha256, *_live(now))
            ).first()
            if row is None:
                return None
            key = _key(row)
            return Bearer(key, _project(connection, key.project_id))

    def all_keys(self) -> list[KeyRow]:
        """All keys, the revoked and the expired too, oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(select(*_KEY).order_by(keys.c.created_at, keys.c.id)).all()
        return [_key(row) for row in rows]

    def revoke_key(self, id_or_name: str, now: int) -> list[KeyRow]:
        """Revoke the live key of this id or, where there is none, of this name.

        Returns it; where several have the name, all of them, and none is revoked.
        """
        with self._store.writing() as connection:
            meant = or_(keys.c.id == id_or_name, keys.c.name == id_or_name)
            query = select(*_KEY).where(meant, *_live(now)).order_by(keys.c.created_at, keys.c.id)
            found = [_key(row) for row in connection.execute(query)]
            found = [key for key in found if key.id == id_or_name] or found
            if len(found) == 1:
                connection.execute(
                    update(keys).where(keys.c.id == found[0].id).values(revoked_at=now)
                )
            return found

    def key_used(self, key_id: str, now: int) -> None:
        """Note that a key is in use, unless that was noted within the last minute."""
        with self._store.writing() as connection:
            connection.execute(
                update(keys)
                .where(keys.c.id == key_id)
                .where(
                    or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= now - _USED_SECONDS)
                )
                .values(last_used_at=now)
            )


_KEY = [c for c in keys.c if c is not keys.c.secret_sha256]


def _live(now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > now),
    )


def _key(row: Any) -> KeyRow:
    scopes = None if row.scopes is None else tuple(row.scopes)
    return KeyRow(**{**row._mapping, "scopes": scopes})


def _project(connection: Connection, id_or_name: str) -> ProjectRow | None:
    rows = connection.execute(
        select(projects).where(or_(projects.c.id == id_or_name, projects.c.name == id_or_name))
    ).all()
    found = sorted(rows, key=lambda row: row.id != id_or_name)
    return ProjectRow(**found[0]._mapping) if found else None
