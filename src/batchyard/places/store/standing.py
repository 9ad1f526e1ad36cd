"""How batches and lanes stand: what workers said last, and all that a reason is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, case, delete, func, insert, select

from batchyard.places.store.opening import Store
from batchyard.places.store.quota import ENDED, quota_of
from batchyard.places.store.rows import BatchStanding, LaneRow, Shortfall
from batchyard.places.store.schema import batch_models, batches, lanes, shards, workers

__all__ = ["Standings", "forget_lanes"]


class Standings:
    """Lanes as workers see them, and batches as their reasons need them."""

    _store: Store

    def say_lanes(self, worker: str, rows: Sequence[LaneRow]) -> None:
        """Replace what a worker said of its lanes; one that was given up says nothing."""
        with self._store.writing() as connection:
            forget_lanes(connection, [worker])
            if rows and connection.execute(_ALIVE, {"the_worker": worker}).first():
                said = [msgspec.structs.asdict(row) | {"worker": worker} for row in rows]
                connection.execute(_SAY, said)

    def standings(
        self, batch_ids: Sequence[str], steady: float
    ) -> tuple[Mapping[str, BatchStanding], Sequence[LaneRow], int]:
        """How batches stand, what was said of all lanes, and how many workers are alive.

        The number of statements does not depend on that of the batches.
        """
        with self._store.reading() as connection:
            rows = connection.execute(select(*_STANDING).where(batches.c.id.in_(batch_ids))).all()
            live = [row.id for row in rows if row.status not in ENDED]
            if not live:
                return {row.id: _standing(row, {}) for row in rows}, (), 0
            asked = _asked(connection, live)
            waiting = [row for row in rows if _waits(row)]
            short = _short(connection, waiting, asked)
            above = _above(connection, [row for row in rows if _runs(row)])
            alive = select(func.count()).where(workers.c.alive_until > steady)
            said = connection.execute(select(*_LANE)).all()
            count = connection.execute(alive).scalar_one()
        standings = {
            row.id: _standing(
                row, asked.get(row.id, {}), short.get(row.id, ()), above.get(row.id, 0)
            )
            for row in rows
        }
        return standings, [LaneRow(**row._mapping) for row in said], count


def forget_lanes(connection: Connection, worker_ids: Sequence[str]) -> None:
    """Drop what workers said that are gone, or say it anew."""
    connection.execute(_FORGET, {"ids": list(worker_ids)})


# Executed with turns of each worker, so built once.
_ALIVE = select(workers.c.id).where(workers.c.id == bindparam("the_worker"))
_SAY = insert(lanes)
_FORGET = delete(lanes).where(lanes.c.worker.in_(bindparam("ids", expanding=True)))


_STANDING = [
    batches.c[name]
    for name in (
        "id",
        "project_id",
        "sequence",
        "status",
        "admitted_at",
        "in_progress_at",
        "paused_at",
        "paused_by",
        "priority",
        "budget",
        "retry_of",
        "moved_at",
    )
]
_LANE = [lanes.c[name] for name in LaneRow.__struct_fields__]


def _standing(
    row: Any,
    asked: Mapping[str, tuple[int, bool]],
    short: tuple[Shortfall, ...] = (),
    above: int = 0,
) -> BatchStanding:
    return BatchStanding(
        **row._mapping,
        models=tuple(asked),
        tokens_held=sum(tokens for tokens, held in asked.values() if held),
        short=short,
        above=above,
    )


def _waits(row: Any) -> bool:
    return row.status == "in_progress" and row.admitted_at is None


def _runs(row: Any) -> bool:
    return row.status == "in_progress" and row.admitted_at is not None and row.paused_at is None


def _asked(
    connection: Connection, batch_ids: Sequence[str]
) -> dict[str, dict[str, tuple[int, bool]]]:
    asked: dict[str, dict[str, tuple[int, bool]]] = {}
    for row in connection.execute(
        select(*[batch_models.c[name] for name in ("batch_id", "model", "tokens", "held")]).where(
            batch_models.c.batch_id.in_(batch_ids)
        )
    ):
        asked.setdefault(row.batch_id, {})[row.model] = (row.tokens, row.held)
    return asked


def _short(
    connection: Connection,
    waiting: Sequence[Any],
    asked: Mapping[str, Mapping[str, tuple[int, bool]]],
) -> dict[str, tuple[Shortfall, ...]]:
    """What waiting batches wait for; those of one page are of one project."""
    if not waiting:
        return {}
    project_id = waiting[0].project_id
    limits, used = quota_of(connection, project_id)
    holders: dict[str, list[str]] = {}
    for row in connection.execute(
        select(batch_models.c.model, batch_models.c.batch_id)
        .where(batch_models.c.project_id == project_id, batch_models.c.held)
        .order_by(batch_models.c.tokens.desc())
    ):
        holders.setdefault(row.model, []).append(row.batch_id)
    found: dict[str, tuple[Shortfall, ...]] = {}
    for row in waiting:
        rows = [
            Shortfall(model, limit, used.get(model, 0), tokens, tuple(holders.get(model, ())))
            for model, (tokens, _) in asked.get(row.id, {}).items()
            if (limit := limits[model]) is not None
        ]
        # The model that lacks most comes first; it may be one of which an older batch is in need.
        rows.sort(key=lambda one: one.limit - one.used - one.tokens)
        found[row.id] = tuple(rows)
    return found


def _above(connection: Connection, running: Sequence[Any]) -> dict[str, int]:
    """How many batches of a batch's project go before it, where no line of it is at an upstream.

    They are of higher priority and have lines of its models left; other projects have their own
    share, and never go before it.
    """
    projects = {row.project_id for row in running}
    if not projects:
        return {}
    highest = connection.execute(
        select(batches.c.project_id, func.max(batches.c.priority).label("highest"))
        .where(batches.c.status == "in_progress", batches.c.project_id.in_(projects))
        .group_by(batches.c.project_id)
    ).all()
    most = {row.project_id: row.highest for row in highest}
    low = {row.id: row for row in running if row.priority < most.get(row.project_id, row.priority)}
    if not low:
        return {}
    out = func.sum(case((shards.c.sent_at.is_(None), 0), else_=1))
    rows = connection.execute(
        select(
            shards.c.batch_id,
            shards.c.model,
            batches.c.project_id,
            batches.c.priority,
            out.label("out"),
        )
        .join(batches, batches.c.id == shards.c.batch_id)
        .where(batches.c.status == "in_progress", shards.c.remaining > 0)
        .where(batches.c.project_id.in_(projects))
        .where(and_(batches.c.admitted_at.is_not(None), batches.c.paused_at.is_(None)))
        .group_by(shards.c.batch_id, shards.c.model, batches.c.project_id, batches.c.priority)
    ).all()
    above: dict[str, int] = {}
    for id, mine in low.items():
        models = {row.model for row in rows if row.batch_id == id}
        if not any(row.out for row in rows if row.batch_id == id):
            above[id] = len(
                {
                    row.batch_id
                    for row in rows
                    if (row.project_id, row.model) in {(mine.project_id, one) for one in models}
                    and row.priority > mine.priority
                }
            )
    return above
