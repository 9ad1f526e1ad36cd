"""What a story must see of the outbox: whoever ended is told of, once, and nobody else."""

from sqlalchemy import select

from batchyard.places.store import Webhooks
from batchyard.places.store.rows import WebhookRow
from batchyard.places.store.schema import batches, deliveries, events
from tests.stories.world import PROJECT, World

__all__ = ["listen_to_ends", "look_at_outbox"]

TERMINAL = ("completed", "failed", "expired", "cancelled")
_ENDS = select(batches.c.id, batches.c.status).where(batches.c.status.in_(TERMINAL))
_TOLD = select(events.c.batch_id, events.c.type).join(
    deliveries, deliveries.c.event_id == events.c.id
)


def listen_to_ends(world: World) -> None:
    """An endpoint that wants to hear of all ends."""
    row = WebhookRow(
        id="we_story",
        name="story",
        url="https://hooks.example/",
        event_types=tuple(f"batch.{end}" for end in TERMINAL),
        secret="whsec_",
        created_at=world.now(),
    )
    assert Webhooks(world.store).add(PROJECT, row, 1)


def look_at_outbox(world: World) -> None:
    """Hold the events against the batches, as one moment shows them both."""
    with world.store.reading() as connection:
        ends = connection.execute(_ENDS).all()
        told = connection.execute(_TOLD).all()
    ended = sorted((row.id, f"batch.{row.status}") for row in ends)
    assert ended == sorted((row.batch_id, row.type) for row in told), "not told as it ended"
