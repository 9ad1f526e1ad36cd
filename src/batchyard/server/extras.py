"""Dresses batches with what is ours: why they do not move, when they will be done.

`batchyard` is left out where a project has the strict profile. What a batch has cost, and which
batches asked its failed lines again, has its place in `_extras`.
"""

from collections.abc import Mapping, Sequence

import msgspec
from starlette.types import Scope

from batchyard.places.store.rows import BatchStanding, LaneRow
from batchyard.rules.standing import (
    EVERY_MODEL,
    Facts,
    LaneStanding,
    Outlook,
    Pace,
    Wait,
    outlook,
    reason,
)
from batchyard.server.gate import limits_of
from batchyard.server.yard import Yard
from batchyard.wire.objects import Batch, Extras

__all__ = ["dressed", "dressed_page", "forget"]

_ENDED = ("failed", "completed", "expired", "cancelled")


async def dressed(yard: Yard, scope: Scope, batch: Batch) -> Batch:
    """One batch with its extras."""
    (one,) = await dressed_page(yard, scope, (batch,))
    return one


async def dressed_page(yard: Yard, scope: Scope, shown: Sequence[Batch]) -> tuple[Batch, ...]:
    """Batches of one project with their extras; what was found a moment ago is believed."""
    if not limits_of(scope).extras:
        return tuple(shown)
    yard.wardrobe.trim()
    wardrobe, steady = yard.wardrobe, yard.clock.steady()
    missing = [one for one in shown if not wardrobe.has(one, steady)]
    if missing:
        ids = [one.id for one in missing]
        standings, lanes, workers = await yard.store.run(yard.records.standings, ids, steady)
        by_model = _by_model(lanes)
        for batch in missing:
            standing = standings[batch.id]
            facts = _facts(standing, by_model, workers)
            pace = wardrobe.pace(batch, standing, yard.clock.wall())
            wardrobe.put(batch, _extras(batch, standing, facts, pace, yard.clock.wall()), steady)
    return tuple(msgspec.structs.replace(one, batchyard=wardrobe.of(one)) for one in shown)


def forget(yard: Yard, batch_id: str) -> None:
    """Look again at once: somebody has changed this batch through this server."""
    yard.wardrobe.forget(batch_id)


def _extras(
    batch: Batch, standing: BatchStanding, facts: Facts, pace: Pace | None, now: float
) -> Extras:
    if batch.status in _ENDED:
        return Extras(budget=standing.budget, retry_of=standing.retry_of)
    why = reason(facts, int(now))
    view = Outlook()
    if pace is not None and batch.expires_at is not None and facts.paused_at is None:
        view = outlook(
            pace,
            batch.request_counts.total,
            window=batch.expires_at - batch.created_at,
            expires_at=batch.expires_at,
            now=now,
        )
    return Extras(
        reason=why,
        eta_at=view.eta_at,
        verdict=view.verdict,
        lines_per_second=None if pace is None else round(pace.per_second, 3),
        tokens_held=standing.tokens_held or None,
        paused_at=standing.paused_at,
        paused_by=standing.paused_by,
        budget=standing.budget,
        retry_of=standing.retry_of,
    )


def _by_model(lanes: Sequence[LaneRow]) -> Mapping[str, list[tuple[str, LaneStanding]]]:
    found: dict[str, list[tuple[str, LaneStanding]]] = {}
    for row in lanes:
        standing = msgspec.json.decode(row.standing, type=LaneStanding)
        found.setdefault(row.model, []).append((row.upstream, standing))
    return found


def _facts(
    standing: BatchStanding,
    lanes: Mapping[str, list[tuple[str, LaneStanding]]],
    workers: int,
) -> Facts:
    return Facts(
        status=standing.status,
        in_progress_at=standing.in_progress_at,
        admitted_at=standing.admitted_at,
        paused_at=standing.paused_at,
        paused_by=standing.paused_by,
        waits=tuple(
            Wait(one.model, one.limit, one.used, one.tokens, one.holders) for one in standing.short
        ),
        workers=workers,
        lanes=tuple(
            lane for model in (EVERY_MODEL, *standing.models) for lane in lanes.get(model, ())
        ),
        above=standing.above,
    )
