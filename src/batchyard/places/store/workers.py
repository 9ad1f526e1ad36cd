"""Which workers live, and what is freed when one does not."""

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Float,
    String,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.schema import batches, shards, workers
from batchyard.places.store.standing import forget_lanes

__all__ = ["Workers"]


class Workers:
    """The rows of the living; times are of the steady clock."""

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    def sign_on(self, worker: str, alive_until: float) -> None:
        """Enter a worker that holds nothing; times are of the steady clock."""
        with self._store.writing() as connection:
            _forsake(connection, [worker])
            connection.execute(_ENTER, {"id": worker, "alive_until": alive_until})

    def renew(self, worker: str, alive_until: float) -> bool:
        """Prolong a worker's leases; False when it was buried meanwhile and holds none."""
        with self._store.writing() as connection:
            prolonged = connection.execute(_PROLONG, {"the_worker": worker, "until": alive_until})
            return prolonged.rowcount == 1

    def bury(self, now: float, *, also: Sequence[str] = ()) -> None:
        """Free what dead workers held, at a loss: those whose time is over and those named."""
        with self._store.writing() as connection:
            ids = list(connection.execute(_DEAD, {"now": now, "also": list(also)}).scalars())
            if ids:
                _count_losses(connection, ids)
                _forsake(connection, ids)

    def bury_all(self) -> None:
        """Free what any worker held, for a server that starts alone; no line made it end.

        None may go on with a lease of before, for what no row names is swept from the disk now.
        """
        with self._store.writing() as connection:
            ids = list(connection.execute(select(workers.c.id)).scalars())
            _forsake(connection, ids)
            connection.execute(update(shards).values(epoch=shards.c.epoch + 2))

    def workers(self) -> Sequence[str]:
        """The names of all workers that are entered, living or not."""
        with self._store.reading() as connection:
            return list(connection.execute(select(workers.c.id)).scalars())

    def sign_off(self, worker: str) -> None:
        """Give back all a worker holds, without counting it as a loss."""
        with self._store.writing() as connection:
            _forsake(connection, [worker])


# Asked with each turn of each worker, so built once.
_DEAD = select(workers.c.id).where(
    or_(
        workers.c.alive_until <= bindparam("now", type_=Float),
        workers.c.id.in_(bindparam("also", expanding=True)),
    )
)
_ENTER = insert(workers)
_PROLONG = (
    update(workers)
    .where(workers.c.id == bindparam("the_worker"))
    .values(alive_until=bindparam("until"))
)
# What these held is free.
_THESE = bindparam("ids", type_=String, expanding=True)
_FREE_SHARDS = (
    update(shards).where(shards.c.worker.in_(_THESE)).values(worker=None, epoch=shards.c.epoch + 1)
)
_FREE_COURSES = update(batches).where(batches.c.steward.in_(_THESE)).values(steward=None)
_STRIKE_OFF = delete(workers).where(workers.c.id.in_(_THESE))


def _count_losses(connection: Connection, ids: Sequence[str]) -> None:
    """Only what came first could be at the upstream for long: the rest waited behind it."""
    first = (
        select(shards.c.batch_id, func.min(shards.c.position))
        .where(shards.c.worker.in_(ids))
        .group_by(shards.c.batch_id, shards.c.model, shards.c.worker)
    )
    at_work = tuple_(shards.c.batch_id, shards.c.position).in_(first)
    connection.execute(update(shards).where(at_work).values(losses=shards.c.losses + 1))


def _forsake(connection: Connection, ids: Sequence[str]) -> None:
    """Free all that these workers held, and strike them off."""
    these = {"ids": list(ids)}
    connection.execute(_FREE_SHARDS, these)
    connection.execute(_FREE_COURSES, these)
    forget_lanes(connection, ids)
    connection.execute(_STRIKE_OFF, these)
