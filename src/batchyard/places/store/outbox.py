"""What is to be told of batches that have ended: written with their end, told afterwards."""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from batchyard.places.faults import Reach, nothing
from batchyard.places.store.opening import Store
from batchyard.places.store.schema import batches, deliveries, events, webhook_endpoints

__all__ = ["DeliveryRow", "DueDelivery", "Mark", "Outbox", "give_up", "tell"]

# `sending`: some server has it in hand until `due_at`.
DeliveryState = Literal["pending", "sending", "delivered", "given_up"]
_OPEN = ("pending", "sending")


class DueDelivery(Struct, frozen=True, kw_only=True):
    """A delivery to be tried, with what is to be said, to whom, and under which secrets."""

    id: str
    attempts: int
    event_id: str
    type: str
    batch_id: str
    created_at: int
    project_id: str
    endpoint_id: str
    url: str
    secret: str
    old_secret: str | None
    old_secret_until: int | None


class Mark(Struct, frozen=True, kw_only=True):
    """What attempt number `attempts` came to; `gone` disables the endpoint."""

    state: DeliveryState
    attempts: int
    attempted_at: int
    due_at: float | None = None
    status_code: int | None = None
    fault: str | None = None
    gone: bool = False


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A delivery as the log shows it."""

    id: str
    endpoint_id: str
    type: str
    batch_id: str
    created_at: int
    state: DeliveryState
    attempts: int
    due_at: float | None
    attempted_at: int | None
    status_code: int | None
    fault: str | None


def tell(connection: Connection, type: str, batch_id: str, now: int) -> None:
    """Note within the transaction that ends a batch who is to hear of it.

    The ids follow from the batch's, so that they need no chance and the same end is told once.
    """
    listening = connection.execute(_LISTENING, {"the_batch": batch_id}).all()
    told = [one for one in listening if type in one.event_types]
    if not told:
        return
    event_id = "evt_" + _hex32(batch_id, type)
    connection.execute(
        _NOTE,
        {
            "id": event_id,
            "project_id": told[0].project_id,
            "type": type,
            "batch_id": batch_id,
            "created_at": now,
        },
    )
    connection.execute(
        _DELIVER,
        [
            {
                "id": "wh_" + _hex32(event_id, one.id),
                "event_id": event_id,
                "endpoint_id": one.id,
                "state": "pending",
                "attempts": 0,
                "due_at": float(now),
            }
            for one in told
        ],
    )


# Executed as each batch ends, so built once.
_LISTENING = (
    select(webhook_endpoints.c.id, webhook_endpoints.c.project_id, webhook_endpoints.c.event_types)
    .join(batches, batches.c.project_id == webhook_endpoints.c.project_id)
    .where(batches.c.id == bindparam("the_batch"), webhook_endpoints.c.disabled_at.is_(None))
    .order_by(webhook_endpoints.c.sequence)
)
_NOTE, _DELIVER = insert(events), insert(deliveries)


def give_up(connection: Connection, endpoint_id: str, fault: str) -> None:
    """End all waiting deliveries of an endpoint within a transaction."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.state.in_(_OPEN))
        .values(state="given_up", due_at=None, fault=fault)
    )


class Outbox:
    """Deliveries: those that are due, what became of them, and their log."""

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError,)

    def __init__(self, store: Store, reach: Reach = nothing) -> None:
        self._store, self._reach = store, reach

    def due(
        self,
        now: float,
        limit: int,
        *,
        but: Collection[str],
        busy: Collection[str],
        busy_projects: Collection[str] = (),
    ) -> list[DueDelivery]:
        """Deliveries whose time has come, the longest waiting first.

        Left out are those named in `but`, and those to the endpoints named in `busy` and of the
        projects named in `busy_projects`.
        """
        query = (
            select(*_DUE)
            .join(events, events.c.id == deliveries.c.event_id)
            .join(webhook_endpoints, webhook_endpoints.c.id == deliveries.c.endpoint_id)
            .where(deliveries.c.state.in_(_OPEN), deliveries.c.due_at <= now)
            .where(deliveries.c.id.not_in(but), deliveries.c.endpoint_id.not_in(busy))
            .where(events.c.project_id.not_in(busy_projects))
            .order_by(deliveries.c.due_at, deliveries.c.sequence)
            .limit(limit)
        )
        with self._store.reading() as connection:
            return [DueDelivery(**row._mapping) for row in connection.execute(query)]

    def take(self, due: Sequence[DueDelivery], now: float, until: float) -> list[DueDelivery]:
        """Take due deliveries in hand until `until`; those are returned that nobody else took."""
        with self._store.writing() as connection:
            return [one for one in due if _taken(connection, one, now, until)]

    def free(self, now: float) -> None:
        """Let go of what a server that died had in hand, for one that starts alone."""
        with self._store.writing() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.state == "sending")
                .values(state="pending", due_at=now)
            )

    def next_due(self, now: float) -> float | None:
        """When the next delivery is due that is not due yet."""
        with self._store.reading() as connection:
            return connection.execute(
                select(func.min(deliveries.c.due_at)).where(
                    deliveries.c.state.in_(_OPEN), deliveries.c.due_at > now
                )
            ).scalar()

    def mark(self, delivery: DueDelivery, mark: Mark) -> bool:
        """Note what an attempt came to; False when the delivery has ended meanwhile."""
        with self._store.writing() as connection:
            moved = (
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == delivery.id, deliveries.c.state == "sending")
                    .where(deliveries.c.attempts == delivery.attempts)
                    .values(
                        state=mark.state,
                        attempts=mark.attempts,
                        attempted_at=mark.attempted_at,
                        due_at=mark.due_at,
                        status_code=mark.status_code,
                        fault=mark.fault,
                    )
                ).rowcount
                == 1
            )
            if mark.gone:
                connection.execute(
                    update(webhook_endpoints)
                    .where(webhook_endpoints.c.id == delivery.endpoint_id)
                    # The answer of an address that it no longer has says nothing of the new one.
                    .where(webhook_endpoints.c.url == delivery.url)
                    .values(disabled_at=mark.attempted_at, disabled_because="410 Gone")
                )
                give_up(connection, delivery.endpoint_id, "endpoint_disabled")
        return moved

    def replay(self, ids: Sequence[str], now: float) -> int:
        """Have deliveries made again, by their own ids or their batches'; tells how many.

        One that is under way, or whose endpoint is deleted or disabled, is left alone.
        """
        of_batches = select(events.c.id).where(events.c.batch_id.in_(ids))
        alive = select(webhook_endpoints.c.id).where(webhook_endpoints.c.disabled_at.is_(None))
        with self._store.writing() as connection:
            return connection.execute(
                update(deliveries)
                .where(or_(deliveries.c.id.in_(ids), deliveries.c.event_id.in_(of_batches)))
                .where(deliveries.c.endpoint_id.in_(alive), deliveries.c.state != "sending")
                .values(state="pending", due_at=now)
            ).rowcount

    def log(self, *, state: str | None = None, limit: int = 50) -> list[DeliveryRow]:
        """The newest deliveries of all projects, newest first."""
        query = (
            select(*_LOGGED)
            .join(events, events.c.id == deliveries.c.event_id)
            .order_by(deliveries.c.sequence.desc())
            .limit(limit)
        )
        if state is not None:
            query = query.where(deliveries.c.state == state)
        with self._store.reading() as connection:
            return [DeliveryRow(**row._mapping) for row in connection.execute(query)]

    def forget(self, before: int, now: float) -> None:
        """Drop events that are older, with their deliveries, unless one still waits.

        Secrets that sign no more go too.
        """
        waiting = select(deliveries.c.event_id).where(deliveries.c.state.in_(_OPEN))
        old = select(events.c.id).where(
            and_(events.c.created_at < before, events.c.id.not_in(waiting))
        )
        with self._store.writing() as connection:
            connection.execute(
                update(webhook_endpoints)
                .where(webhook_endpoints.c.old_secret_until <= now)
                .values(old_secret=None, old_secret_until=None)
            )
            connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(old)))
            connection.execute(
                delete(events)
                .where(events.c.created_at < before)
                .where(events.c.id.not_in(select(deliveries.c.event_id)))
            )


_DUE: list[Any] = [
    deliveries.c.id,
    deliveries.c.attempts,
    deliveries.c.event_id,
    events.c.type,
    events.c.batch_id,
    events.c.created_at,
    events.c.project_id,
    deliveries.c.endpoint_id,
    webhook_endpoints.c.url,
    webhook_endpoints.c.secret,
    webhook_endpoints.c.old_secret,
    webhook_endpoints.c.old_secret_until,
]
_LOGGED: list[Any] = [
    events.c[name] if name in ("type", "batch_id", "created_at") else deliveries.c[name]
    for name in DeliveryRow.__struct_fields__
]


def _taken(connection: Connection, one: DueDelivery, now: float, until: float) -> bool:
    """Take one delivery, unless another server was quicker."""
    return (
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == one.id, deliveries.c.attempts == one.attempts)
            .where(deliveries.c.state.in_(_OPEN), deliveries.c.due_at <= now)
            .values(state="sending", due_at=until)
        ).rowcount
        == 1
    )


def _hex32(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
