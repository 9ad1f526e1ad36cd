"""Which batch's shards a worker takes next."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

__all__ = ["in_turn"]


class Candidate(Protocol):
    """A running batch with free shards of one model."""

    @property
    def shards(self) -> int:
        """Free shards."""
        ...

    @property
    def held(self) -> int:
        """Shards in some worker's hands."""
        ...

    @property
    def expires_at(self) -> int:
        """End of the window, Unix seconds."""
        ...

    @property
    def sequence(self) -> int:
        """The order of creation."""
        ...


C = TypeVar("C", bound=Candidate)


def in_turn(waiting: Iterable[C]) -> list[C]:
    """Order batches: those with fewest shards under way, then nearest deadline, then oldest.

    So a small batch need not wait for the end of a large one, and among equals the one that is
    due first goes first.
    """
    return sorted(waiting, key=lambda one: (one.held, one.expires_at, one.sequence))
