"""Promises: what was answered to a request that must not take effect twice."""

from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.schema import promises
from batchyard.wire.objects import to_json

__all__ = ["Kept", "Promise", "Promises", "keep"]


class Promise(Struct, frozen=True, kw_only=True):
    """A request that must not take effect twice.

    `named`: the client gave it a name, and no other request may have that. Otherwise `key` says
    what it is made of, and the newest that is alike counts.
    """

    project_id: str
    key: str
    request_sha256: str
    created_at: int
    expires_at: int
    named: bool


class Kept(Struct, frozen=True):
    """A promise that was kept: of what request, and the answer to it."""

    request_sha256: str
    status: int
    answer: bytes


class Promises:
    """The rows that know a request again."""

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    def kept(self, project_id: str, key: str, now: int) -> Kept | None:
        """What was answered to the request of this key, unless that was too long ago."""
        with self._store.reading() as connection:
            row = connection.execute(
                select(promises.c.request_sha256, promises.c.status, promises.c.answer)
                .where(promises.c.project_id == project_id, promises.c.key == key)
                .where(promises.c.expires_at > now)
            ).first()
        return Kept(**row._mapping) if row else None

    def forget_promises(self, now: int) -> None:
        """Drop what nobody will ask for again."""
        with self._store.writing() as connection:
            connection.execute(delete(promises).where(promises.c.expires_at <= now))


def keep(connection: Connection, promise: Promise | None, made: Any) -> None:
    """Note what a request made, in the transaction that makes it.

    Where another request had this very name first, the database refuses, and nothing is made.
    """
    if promise is None:
        return
    earlier = delete(promises).where(
        promises.c.project_id == promise.project_id, promises.c.key == promise.key
    )
    if promise.named:
        earlier = earlier.where(promises.c.expires_at <= promise.created_at)
    connection.execute(earlier)
    values = msgspec.structs.asdict(promise)
    del values["named"]
    connection.execute(
        insert(promises).values(**values, made_id=made.id, status=200, answer=to_json(made))
    )
