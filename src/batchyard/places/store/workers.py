"""Which workers live, and what is freed when one does not."""

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.schema import batches, shards, workers
from batchyard.places.store.standing import forget_lanes

__all__ = ["LOSSES_FORGOTTEN_SECONDS", "WATCHED_FROM", "Workers"]

# From so many losses on, the lines of a shard are noted before they are sent.
WATCHED_FROM = 2
# Losses that are this long ago say nothing of the next one.
LOSSES_FORGOTTEN_SECONDS = 3600


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
        """Free what dead workers held: those whose time is over and those named.

        It is a loss of the shards that had lines at the upstream, and of no other.
        """
        with self._store.writing() as connection:
            ids = list(connection.execute(_DEAD, {"now": now, "also": list(also)}).scalars())
            if ids:
                bounds = {
                    "watched_from": WATCHED_FROM,
                    "forgotten_seconds": LOSSES_FORGOTTEN_SECONDS,
                }
                connection.execute(_CHARGE, bounds | {"ids": ids})
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
_IS_FORGOTTEN = and_(
    shards.c.lost_at.is_not(None),
    shards.c.lost_at < shards.c.sent_at - bindparam("forgotten_seconds", type_=Integer),
)
_CHARGE = (
    update(shards)
    .where(shards.c.worker.in_(_THESE), shards.c.sent_at.is_not(None))
    .values(
        # Of a group that was suspected already they are counted on, of another one anew.
        losses=case(
            (_IS_FORGOTTEN, 1),
            (
                and_(
                    shards.c.trial.is_not(None),
                    or_(shards.c.suspects.is_(None), shards.c.suspects != shards.c.trial),
                ),
                bindparam("watched_from", type_=Integer),
            ),
            else_=shards.c.losses + 1,
        ),
        lost_at=shards.c.sent_at,
        suspects=case(
            (_IS_FORGOTTEN, shards.c.trial),
            else_=func.coalesce(shards.c.trial, shards.c.suspects),
        ),
    )
)
_FREE_SHARDS = (
    update(shards)
    .where(shards.c.worker.in_(_THESE))
    .values(worker=None, epoch=shards.c.epoch + 1, sent_at=None, trial=None)
)
_FREE_COURSES = update(batches).where(batches.c.steward.in_(_THESE)).values(steward=None)
_STRIKE_OFF = delete(workers).where(workers.c.id.in_(_THESE))


def _forsake(connection: Connection, ids: Sequence[str]) -> None:
    """Free all that these workers held, and strike them off."""
    these = {"ids": list(ids)}
    connection.execute(_FREE_SHARDS, these)
    connection.execute(_FREE_COURSES, these)
    forget_lanes(connection, ids)
    connection.execute(_STRIKE_OFF, these)
