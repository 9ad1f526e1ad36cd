"""What was used by batch, model and minute: written with the results, priced when it is read."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from batchyard.places.store.opening import Store
from batchyard.places.store.rows import BatchTally
from batchyard.places.store.schema import batch_models, batches, usage
from batchyard.wire.money import PICODOLLARS, Price, Spent, cost_of
from batchyard.wire.objects import Cost

__all__ = [
    "DAY_SECONDS",
    "TALLIED",
    "OverBudgetError",
    "UsageRows",
    "Used",
    "add_usage",
    "costs",
    "halt_over_budget",
    "price_in",
    "refuse_over_budget",
]

TALLIED = (
    "completed",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "calls",
)
DAY_SECONDS = 86_400
_MINUTE_SECONDS = 60


def add_usage(connection: Connection, tally: BatchTally, now: int) -> None:
    """Add what a piece used of one model to its minute.

    The column is called `day`, for a row was one of a whole day once; such rows begin with it.
    """
    row = msgspec.structs.asdict(tally) | {"day": now - now % _MINUTE_SECONDS}
    named = {f"the_{name}": value for name, value in row.items()}
    if not connection.execute(_ADD, named).rowcount:
        connection.execute(_FIRST, row)


# Executed for each piece, so built once.
_ADD = (
    update(usage)
    .where(usage.c.batch_id == bindparam("the_batch_id"), usage.c.model == bindparam("the_model"))
    .where(usage.c.day == bindparam("the_day"))
    .values({name: usage.c[name] + bindparam(f"the_{name}") for name in TALLIED})
)
_FIRST = insert(usage)


class OverBudgetError(Exception):
    """A batch has used all it may; the message says how much that is."""


def halt_over_budget(connection: Connection, batch_id: str, now: int) -> None:
    """Pause a running batch that has reached its budget and has lines left."""
    if _reached(connection, batch_id):
        connection.execute(
            update(batches)
            .where(batches.c.id == batch_id, batches.c.status == "in_progress")
            .where(batches.c.paused_at.is_(None), batches.c.open_shards > 0)
            .values(paused_at=now, paused_by="budget")
        )


def refuse_over_budget(connection: Connection, batch_id: str) -> None:
    """Raise OverBudgetError where a batch has reached its budget."""
    reached = _reached(connection, batch_id)
    if reached:
        raise OverBudgetError(reached)


def _reached(connection: Connection, batch_id: str) -> str:
    """The budget that a batch has reached by this very transaction; empty when none."""
    batch = connection.execute(
        select(batches.c.budget, batches.c.total_tokens).where(batches.c.id == batch_id)
    ).one()
    budget = batch.budget or {}
    if "tokens" in budget and batch.total_tokens >= budget["tokens"]:
        return f"{budget['tokens']:,} tokens"
    if "usd" in budget:
        spent = sum(one.picodollars for one in _spent(connection, [batch_id])[batch_id])
        if spent >= budget["usd"] * PICODOLLARS:
            return f"${budget['usd']:,}"
    return ""


def costs(connection: Connection, batch_ids: Sequence[str]) -> dict[str, Cost]:
    """What batches have cost so far; those without any known price are left out."""
    found = {id: cost_of(spent) for id, spent in _spent(connection, batch_ids).items()}
    return {id: cost for id, cost in found.items() if cost is not None}


class Used(Struct, frozen=True, kw_only=True):
    """What one batch used of one model within the minute that begins so; `spent` tells its cost."""

    minute: int
    batch_id: str
    project_id: str
    endpoint: str
    metadata: dict[str, str]
    completed: int
    failed: int
    spent: Spent


class UsageRows:
    """What the API and the command line tell of usage."""

    _store: Store

    def used(self, project_id: str | None, start: int, end: int) -> list[Used]:
        """All that was used on the days from `start` up to `end`; None for every project."""
        priced = and_(
            batch_models.c.batch_id == usage.c.batch_id, batch_models.c.model == usage.c.model
        )
        query = (
            select(usage, batches.c.endpoint, batches.c.metadata, batch_models.c.price)
            .join(batches, batches.c.id == usage.c.batch_id)
            .join(batch_models, priced, isouter=True)
            .where(usage.c.day >= start - start % DAY_SECONDS, usage.c.day < end)
            .order_by(usage.c.day, usage.c.model, usage.c.batch_id)
        )
        if project_id is not None:
            query = query.where(usage.c.project_id == project_id)
        with self._store.reading() as connection:
            return [_used(row) for row in connection.execute(query)]

    def accounts(self, batch_ids: Sequence[str]) -> dict[str, tuple[Cost | None, tuple[str, ...]]]:
        """What batches have cost so far, and which batches asked their lines again."""
        again: dict[str, list[str]] = {}
        with self._store.reading() as connection:
            cost = costs(connection, batch_ids)
            for row in connection.execute(
                select(batches.c.retry_of, batches.c.id)
                .where(batches.c.retry_of.in_(list(batch_ids)))
                .order_by(batches.c.sequence)
            ):
                again.setdefault(row.retry_of, []).append(row.id)
        return {id: (cost.get(id), tuple(again.get(id, ()))) for id in batch_ids}


def _used(row: Any) -> Used:
    return Used(
        minute=row.day,
        batch_id=row.batch_id,
        project_id=row.project_id,
        endpoint=row.endpoint,
        metadata=row.metadata or {},
        completed=row.completed,
        failed=row.failed,
        spent=Spent(
            model=row.model,
            input_tokens=row.input_tokens,
            cached_tokens=row.cached_tokens,
            output_tokens=row.output_tokens,
            price=price_in(row.price),
        ),
    )


def _spent(connection: Connection, batch_ids: Iterable[str]) -> dict[str, list[Spent]]:
    """The tokens of batches by model, at the prices that were frozen for them."""
    sums = [func.coalesce(func.sum(usage.c[name]), 0).label(name) for name in _PRICED]
    used = and_(usage.c.batch_id == batch_models.c.batch_id, usage.c.model == batch_models.c.model)
    ids = list(batch_ids)
    rows = connection.execute(
        select(batch_models.c.batch_id, batch_models.c.model, *sums)
        .select_from(batch_models)
        .join(usage, used, isouter=True)
        .where(batch_models.c.batch_id.in_(ids))
        .group_by(batch_models.c.batch_id, batch_models.c.model)
    ).all()
    prices = {
        (row.batch_id, row.model): price_in(row.price)
        for row in connection.execute(
            select(batch_models.c.batch_id, batch_models.c.model, batch_models.c.price).where(
                batch_models.c.batch_id.in_(ids)
            )
        )
    }
    spent: dict[str, list[Spent]] = {id: [] for id in ids}
    for row in rows:
        spent[row.batch_id].append(
            Spent(
                model=row.model,
                input_tokens=row.input_tokens,
                cached_tokens=row.cached_tokens,
                output_tokens=row.output_tokens,
                price=prices[row.batch_id, row.model],
            )
        )
    return spent


_PRICED = ("input_tokens", "cached_tokens", "output_tokens")


def price_in(kept: Any) -> Price | None:
    """A price as it stands in a row."""
    return msgspec.convert(kept, Price) if kept is not None else None
