"""Dresses batches with what is ours: why they do not move, when they will be done.

`batchyard` is left out where a project has the strict profile.
"""

from collections.abc import Sequence
from functools import partial

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
from batchyard.wire.objects import Batch, Extras, LaneStatus

__all__ = ["FAILURES_SHOWN", "dressed", "dressed_page", "extras_of", "forget"]

# Causes of failed lines that are shown, the most frequent first.
FAILURES_SHOWN = 10
_ENDED = ("failed", "completed", "expired", "cancelled")


async def dressed(yard: Yard, scope: Scope, batch: Batch) -> Batch:
    """One batch with its extras."""
    (one,) = await dressed_page(yard, scope, (batch,))
    return one


async def dressed_page(yard: Yard, scope: Scope, shown: Sequence[Batch]) -> tuple[Batch, ...]:
    """Batches of one project with their extras; what was found a moment ago is believed."""
    if not limits_of(scope).extras:
        return tuple(shown)
    worn = await yard.wardrobe.worn(shown, partial(_look, yard), yard.clock.steady)
    return tuple(msgspec.structs.replace(one, batchyard=worn[one.id]) for one in shown)


async def _look(yard: Yard, shown: Sequence[Batch]) -> dict[str, Extras]:
    ids = [one.id for one in shown]
    standings, lanes, workers = await yard.pages.run(
        yard.records.standings, ids, yard.clock.steady()
    )
    accounts = await yard.pages.run(yard.records.accounts, ids)
    failures = await yard.pages.run(yard.records.failures, ids)
    now, found = yard.clock.wall(), {}
    for batch in shown:
        standing = standings[batch.id]
        pace = yard.wardrobe.pace(batch, standing, now)
        extras = extras_of(batch, standing, lanes, workers, pace, now)
        cost, retried_by = accounts[batch.id]
        found[batch.id] = msgspec.structs.replace(
            extras, cost=cost, retried_by=retried_by, failures=failures[batch.id][:FAILURES_SHOWN]
        )
    return found


def forget(yard: Yard, batch_id: str) -> None:
    """Look again at once: somebody has changed this batch through this server."""
    yard.wardrobe.forget(batch_id)


def extras_of(
    batch: Batch,
    standing: BatchStanding,
    lanes: Sequence[LaneRow],
    workers: int,
    pace: Pace | None,
    now: float,
) -> Extras:
    """What is to be shown of a batch; one that has ended has neither reason nor outlook."""
    if batch.status in _ENDED:
        return Extras(budget=standing.budget, retry_of=standing.retry_of)
    facts = _facts(standing, lanes, workers)
    why = reason(facts, int(now))
    view = Outlook()
    # While nothing moves, what came before tells nothing of the end.
    if pace is not None and batch.expires_at is not None and why is None:
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
        lines_per_second=None if pace is None or why else round(pace.per_second, 3),
        tokens_held=standing.tokens_held or None,
        paused_at=standing.paused_at,
        paused_by=standing.paused_by,
        budget=standing.budget,
        retry_of=standing.retry_of,
        lanes=_lane_statuses(standing.models, lanes) if batch.status == "in_progress" else (),
    )


def _lane_statuses(models: Sequence[str], rows: Sequence[LaneRow]) -> tuple[LaneStatus, ...]:
    """The lanes of these models, each summed over the workers that have one."""
    found: dict[tuple[str, str], LaneStatus] = {}
    for row in rows:
        if row.model not in models:
            continue
        lane = msgspec.json.decode(row.standing, type=LaneStanding)
        before = found.get((row.model, row.upstream))
        found[row.model, row.upstream] = LaneStatus(
            model=row.model,
            upstream=row.upstream,
            in_flight=lane.in_flight + (before.in_flight if before else 0),
            limit=lane.width + (before.limit if before else 0),
            limited_by=lane.width_why or (before.limited_by if before else ""),
            waiting=lane.waiting + (before.waiting if before else 0),
            reason=lane.trouble or (before.reason if before else None),
            since=lane.trouble_since or (before.since if before else None),
        )
    return tuple(found.values())


def _facts(standing: BatchStanding, lanes: Sequence[LaneRow], workers: int) -> Facts:
    own = {EVERY_MODEL, *standing.models}
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
            (row.upstream, msgspec.json.decode(row.standing, type=LaneStanding))
            for row in lanes
            if row.model in own
        ),
        above=standing.above,
        moved_at=standing.moved_at,
    )
