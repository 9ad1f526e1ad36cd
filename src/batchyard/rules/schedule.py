"""Which batch's shards a worker takes next."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

__all__ = ["PRIORITY_RANGE", "in_turn", "share"]

# (least, most) of `priority`; 0 unless asked for.
PRIORITY_RANGE = (-100, 100)


class Candidate(Protocol):
    """A running batch with free shards of one model."""

    @property
    def model(self) -> str:
        """The model of the shards."""
        ...

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

    @property
    def priority(self) -> int:
        """What goes before all else; the highest first."""
        ...


C = TypeVar("C", bound=Candidate)


def in_turn(waiting: Iterable[C]) -> list[C]:
    """Order batches: by priority, then fewest shards under way, nearest deadline, oldest.

    So among equals a small batch need not wait for the end of a large one, and the one that is
    due first goes first.
    """
    return sorted(waiting, key=lambda one: (-one.priority, one.held, one.expires_at, one.sequence))


def share(
    waiting: Iterable[C],
    appetite: Callable[[str], int],
    *,
    room: int,
    shard_lines: int,
    shards_max: int,
) -> list[tuple[C, int]]:
    """How many shards to take of which batch, to still a model's appetite for lines.

    Equals are all drawn on; a batch of lower priority gets what those above it leave of the
    appetite.
    """
    shares: list[tuple[C, int]] = []
    taken, above = Counter[str](), Counter[str]()
    priority: int | None = None
    for one in in_turn(waiting):
        if one.priority != priority:
            above, priority = taken.copy(), one.priority
        want = min(room, appetite(one.model) - above[one.model])
        if want > 0:
            shards = min(-(-want // shard_lines), shards_max, one.shards)
            shares.append((one, shards))
            taken[one.model] += shards * shard_lines
            room -= shards * shard_lines
    return shares
