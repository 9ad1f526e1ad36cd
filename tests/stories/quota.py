"""What a story must see of quotas: what is held is what admitted batches asked for, always."""

from collections import Counter

from sqlalchemy import select

from batchyard.places.store.schema import batch_models, batches
from tests.stories.world import PROJECT, World

__all__ = ["look_at_quota", "set_quota"]

TERMINAL = ("completed", "failed", "expired", "cancelled")
_ASKED = select(batch_models, batches.c.status, batches.c.admitted_at).join(
    batches, batches.c.id == batch_models.c.batch_id
)


def set_quota(world: World) -> None:
    """A quota for all models, or none; of what the largest batches ask, some fit, some never."""
    most = world.chance.choice((None, None, 100, 400, 600))
    world.records.set_limit(PROJECT, "*", most, world.now())


def look_at_quota(world: World) -> None:
    """Hold what is held against the batches it is held for, the limit, and those that wait."""
    with world.store.reading() as connection:
        rows = connection.execute(_ASKED).all()
    for row in rows:
        entitled = row.admitted_at is not None and row.status not in TERMINAL
        assert row.held == entitled, f"{row.batch_id} ({row.status}) holds: {row.held}"
    used: Counter[str] = Counter()
    for row in rows:
        used[row.model] += row.tokens * row.held
    limit = world.records.limits(PROJECT).get("*")
    assert limit is None or all(tokens <= limit for tokens in used.values()), "over the quota"
    waiting = {row.batch_id for row in rows if row.admitted_at is None}
    running = {row.batch_id for row in rows if row.status == "in_progress"}
    assert used.total() or not (waiting & running), "tokens are free, and yet somebody waits"
