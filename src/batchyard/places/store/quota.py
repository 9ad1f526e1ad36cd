"""Enqueued tokens: held by admitted batches until they have ended, and never counted apart.

What is used of a quota is the sum over the rows that are held. Rows are written with the
transition of their batch, so that no crash comes between; who waits is let in by the same
transaction that gives tokens back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, String, bindparam, delete, func, insert, or_, select, update

from batchyard.places.store.opening import Store
from batchyard.places.store.rows import AskedModel, Headroom, Holder, Shortage
from batchyard.places.store.schema import batch_models, batches, files, rate_limits

__all__ = [
    "ENDED",
    "Limits",
    "Quotas",
    "admit_waiting",
    "enqueue",
    "lacking",
    "quota_of",
    "release",
]

# The row that stands for every model without a row of its own.
ANY_MODEL = "*"
ENDED = ("failed", "completed", "expired", "cancelled")


def enqueue(
    connection: Connection, batch_id: str, project_id: str, asked: Iterable[AskedModel]
) -> None:
    """Note what a batch asks of its models; nothing is held yet."""
    rows = [
        msgspec.structs.asdict(one)
        | {"batch_id": batch_id, "project_id": project_id, "held": False}
        for one in asked
    ]
    if rows:
        connection.execute(_ENQUEUE, rows)


def lacking(
    connection: Connection, project_id: str, asked: Iterable[AskedModel], *, alone: bool
) -> tuple[Shortage, ...]:
    """The models of which there are too few tokens; with `alone`, even if nobody held any."""
    wanted = {one.model: one.tokens for one in asked}
    limits = _limits(connection, project_id)
    used = {} if alone else _used(connection, project_id, wanted)
    return tuple(
        Shortage(model, limit, used.get(model, 0), tokens)
        for model, tokens in wanted.items()
        if (limit := limits[model]) is not None and used.get(model, 0) + tokens > limit
    )


def release(connection: Connection, batch_id: str) -> None:
    """Give back what a batch holds."""
    connection.execute(_RELEASE, {"the_batch": batch_id})


def admit_waiting(connection: Connection, project_id: str, now: int) -> list[str]:
    """Let batches in that wait for tokens, the oldest first; tells which.

    Nobody overtakes an older batch that waits for one of the same models, unless that one could
    never fit.
    """
    waiting = _waiting(connection, project_id)
    if not waiting:
        return []
    limits = _limits(connection, project_id)
    used = _used(connection, project_id, {model for asked in waiting.values() for model in asked})
    admitted: list[str] = []
    queued: set[str] = set()
    for batch_id, asked in waiting.items():
        bounded = {model: (tokens, limits[model]) for model, tokens in asked.items()}
        if any(limit is not None and tokens > limit for tokens, limit in bounded.values()):
            continue
        full = any(
            limit is not None and used.get(model, 0) + tokens > limit
            for model, (tokens, limit) in bounded.items()
        )
        if full or not queued.isdisjoint(asked):
            queued.update(asked)
            continue
        for model, tokens in asked.items():
            used[model] = used.get(model, 0) + tokens
        admitted.append(batch_id)
    _hold(connection, admitted, now)
    return admitted


def _waiting(connection: Connection, project_id: str) -> dict[str, dict[str, int]]:
    rows = connection.execute(_WAITING, {"the_project": project_id})
    waiting: dict[str, dict[str, int]] = {}
    for row in rows:
        asked = waiting.setdefault(row.id, {})
        if row.model is not None:
            asked[row.model] = row.tokens
    return waiting


def _hold(connection: Connection, batch_ids: Sequence[str], now: int) -> None:
    if not batch_ids:
        return
    connection.execute(_ADMIT, {"ids": batch_ids, "now": now})
    connection.execute(_HOLD, {"ids": batch_ids})


class Limits(dict[str, int | None]):
    """Quotas by model; a model without one has that of all, or none."""

    def __missing__(self, model: str) -> int | None:
        return self.get(ANY_MODEL)


def _limits(connection: Connection, project_id: str) -> Limits:
    rows = connection.execute(_LIMITS, {"the_project": project_id})
    return Limits((row.model, row.enqueued_tokens_max) for row in rows)


def _used(
    connection: Connection, project_id: str, models: Iterable[str] | None = None
) -> dict[str, int]:
    asked: dict[str, object] = {"the_project": project_id}
    query = _USED
    if models is not None:
        query, asked["models"] = _USED_OF, list(models)
    return {model: int(tokens) for model, tokens in connection.execute(query, asked)}


def quota_of(connection: Connection, project_id: str) -> tuple[Limits, dict[str, int]]:
    """A project's limits, and what is used of them, by model."""
    return _limits(connection, project_id), _used(connection, project_id)


# Executed as each batch begins and ends, so built once.
_PROJECT = bindparam("the_project", type_=String)
_THESE = bindparam("ids", type_=String, expanding=True)
_ENQUEUE = insert(batch_models)
_RELEASE = (
    update(batch_models)
    .where(batch_models.c.batch_id == bindparam("the_batch"), batch_models.c.held)
    .values(held=False)
)
_WAITING = (
    select(batches.c.id, batch_models.c.model, batch_models.c.tokens)
    .outerjoin(batch_models, batch_models.c.batch_id == batches.c.id)
    .where(batches.c.status == "in_progress", batches.c.admitted_at.is_(None))
    .where(batches.c.project_id == _PROJECT)
    .order_by(batches.c.sequence)
)
_ADMIT = (
    update(batches)
    .where(batches.c.id.in_(_THESE), batches.c.status == "in_progress")
    .values(admitted_at=bindparam("now"))
)
_HOLD = update(batch_models).where(batch_models.c.batch_id.in_(_THESE)).values(held=True)
# Where transactions run side by side, the locked rows let one after the other sum up.
_LIMITS = (
    select(rate_limits.c.model, rate_limits.c.enqueued_tokens_max)
    .where(rate_limits.c.project_id == _PROJECT)
    .with_for_update()
)
_USED = (
    select(batch_models.c.model, func.sum(batch_models.c.tokens))
    .where(batch_models.c.project_id == _PROJECT, batch_models.c.held)
    .group_by(batch_models.c.model)
)
_USED_OF = _USED.where(batch_models.c.model.in_(bindparam("models", expanding=True)))


class Quotas:
    """The quotas of projects, what is used of them, and by whom."""

    _store: Store

    def limits(self, project_id: str) -> Mapping[str, int | None]:
        """The quotas of a project by model; "*" is that of all models without one."""
        with self._store.reading() as connection:
            return dict(_limits(connection, project_id))

    def set_limit(self, project_id: str, model: str, most: int | None, now: int) -> list[str]:
        """Set a quota; None is no limit. Tells which batches that waited were let in."""
        row = {"project_id": project_id, "model": model}
        mine = (rate_limits.c.project_id == project_id, rate_limits.c.model == model)
        with self._store.writing() as connection:
            connection.execute(delete(rate_limits).where(*mine))
            connection.execute(insert(rate_limits).values(**row, enqueued_tokens_max=most))
            return admit_waiting(connection, project_id, now)

    def unset_limit(self, project_id: str, model: str, now: int) -> list[str]:
        """Drop a quota, so that the one of all models counts; tells who was let in."""
        mine = (rate_limits.c.project_id == project_id, rate_limits.c.model == model)
        with self._store.writing() as connection:
            connection.execute(delete(rate_limits).where(*mine))
            return admit_waiting(connection, project_id, now)

    def headroom(self, project_id: str) -> list[Headroom]:
        """What is used of each quota and by whom, for every model that has one or is used."""
        holders = (
            select(
                batch_models.c.model,
                batch_models.c.batch_id,
                batch_models.c.tokens,
                batch_models.c.held,
            )
            .join(batches, batches.c.id == batch_models.c.batch_id)
            .where(batches.c.project_id == project_id, batches.c.status.not_in(ENDED))
            .order_by(batches.c.sequence)
        )
        with self._store.reading() as connection:
            limits = _limits(connection, project_id)
            rows = connection.execute(holders).all()
        models = sorted({*limits, *(row.model for row in rows)} - {ANY_MODEL})
        return list(_headroom(models, limits, rows))

    def last_but(self, project_id: str, batch_count: int) -> int | None:
        """When the newest batch was created but for so many."""
        with self._store.reading() as connection:
            return connection.execute(
                select(batches.c.created_at)
                .where(batches.c.project_id == project_id)
                .order_by(batches.c.sequence.desc())
                .offset(batch_count)
                .limit(1)
            ).scalar()

    def stored_bytes(self, project_id: str, now: int) -> int:
        """How many bytes the live files of a project have together."""
        query = select(func.coalesce(func.sum(files.c.size_bytes), 0)).where(
            files.c.project_id == project_id,
            files.c.deleted_at.is_(None),
            or_(files.c.expires_at.is_(None), files.c.expires_at > now),
        )
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def audit_quota(self, now: int) -> int:
        """Compare what is held with what should be, and put it right; tells in how many rows.

        Only to be called while nobody else writes. Transitions and holds share a transaction:
        any difference is a broken promise.
        """
        ended = select(batches.c.id).where(batches.c.status.in_(ENDED))
        running = select(batches.c.id).where(
            batches.c.status.not_in(ENDED), batches.c.admitted_at.is_not(None)
        )
        with self._store.writing() as connection:
            wrong = 0
            for ids, held in ((ended, True), (running, False)):
                wrong += connection.execute(
                    update(batch_models)
                    .where(batch_models.c.batch_id.in_(ids), batch_models.c.held == held)
                    .values(held=not held)
                ).rowcount
            projects = select(batches.c.project_id).where(
                batches.c.status == "in_progress", batches.c.admitted_at.is_(None)
            )
            for project_id in connection.execute(projects.distinct()).scalars().all():
                admit_waiting(connection, project_id, now)
        return wrong


def _headroom(models: Iterable[str], limits: Limits, rows: Sequence[Any]) -> Iterator[Headroom]:
    for model in models:
        mine = [row for row in rows if row.model == model]
        yield Headroom(
            model=model,
            limit=limits[model],
            holders=tuple(Holder(row.batch_id, row.tokens) for row in mine if row.held),
            waiting=tuple(Holder(row.batch_id, row.tokens) for row in mine if not row.held),
        )
