"""What a story must see of usage: its rows add up to the counts of their batch, always."""

from collections import defaultdict

from sqlalchemy import func, select

from batchyard.places.store.schema import batches, usage
from tests.stories.world import World

__all__ = ["look_at_usage"]

COUNTS = ("completed", "failed", "input_tokens", "output_tokens", "total_tokens", "calls")

_SAID = select(batches.c.id, *(batches.c[name] for name in COUNTS))
_USED = select(
    usage.c.batch_id, *(func.sum(usage.c[name]).label(name) for name in COUNTS)
).group_by(usage.c.batch_id)


def look_at_usage(world: World) -> None:
    """Hold the sums over models and days against what the batches say of themselves."""
    with world.store.reading() as connection:
        said = {row.id: tuple(row)[1:] for row in connection.execute(_SAID)}
        summed = connection.execute(_USED)
        used = defaultdict(lambda: (0,) * len(COUNTS), {row[0]: tuple(row)[1:] for row in summed})
    for id, counts in said.items():
        assert counts == used[id], f"{id}: counted {counts}, used {used[id]}"
