"""A worker that takes a batch in hand for one step of its course."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchyard.places.store import Work

__all__ = ["in_hand"]


@contextmanager
def in_hand(work: Work, batch_id: str) -> Iterator[str]:
    """A living worker that has this batch in hand; its name."""
    name = f"hand-{batch_id}"
    work.sign_on(name, 1e12)
    assert work.take_course(batch_id, name)
    try:
        yield name
    finally:
        work.sign_off(name)
