"""Lines of leased shards that no lane has yet: they can go to whoever has a claim, or back."""

from collections import Counter, deque
from collections.abc import Collection, Sequence

from msgspec import Struct

from batchyard.flow.keeping import HeldLease
from batchyard.flow.lanes import Line

__all__ = ["Claim", "Key", "Stock"]

# A batch and one model of it.
Key = tuple[str, str]


class Claim(Struct, frozen=True, kw_only=True, eq=False):
    """A batch with lines for one model; a `rules.schedule.Claim`.

    `lines` wait, in this worker's hands or in free `shards`; `out` are in the lanes.
    """

    batch_id: str
    model: str
    project_id: str
    priority: int
    urgent: bool
    expires_at: int
    sequence: int
    lines: int
    ready: int
    shards: int
    out: int


class Stock:
    """Lines in hand, by shard."""

    def __init__(self) -> None:
        self._ready: dict[Key, dict[HeldLease, deque[Line]]] = {}

    @property
    def lines(self) -> int:
        """How many there are."""
        return sum(len(lines) for shards in self._ready.values() for lines in shards.values())

    def ready(self) -> Counter[Key]:
        """How many there are of which batch and model."""
        return Counter({key: sum(map(len, shards.values())) for key, shards in self._ready.items()})

    def spare(self) -> list[tuple[HeldLease, int]]:
        """All shards with how many lines there are of them; those that would go last come first."""
        found = [
            (held, len(lines)) for shards in self._ready.values() for held, lines in shards.items()
        ]
        return sorted(found, key=lambda one: (one[0].lease.priority, -one[0].lease.position))

    def shards(self, key: Key) -> dict[HeldLease, int]:
        """How many lines there are of which shard."""
        return {held: len(lines) for held, lines in self._ready.get(key, {}).items()}

    def add(self, held: HeldLease, lines: Sequence[Line]) -> None:
        """Take lines of a shard."""
        if lines:
            self._of(held).extend(lines)

    def put_back(self, lines: Collection[Line]) -> None:
        """Take lines that the lanes gave back; they go before the others of their shards."""
        for line in reversed(list(lines)):
            assert isinstance(line.owner, HeldLease)
            self._of(line.owner).appendleft(line)

    def take(self, key: Key, count: int) -> list[Line]:
        """Up to so many lines of a batch, in input order."""
        shards = self._ready.get(key, {})
        taken: list[Line] = []
        for held in sorted(shards, key=lambda held: held.lease.position):
            lines = shards[held]
            taken += [lines.popleft() for _ in range(min(count - len(taken), len(lines)))]
            if not lines:
                del shards[held]
            if len(taken) == count:
                break
        if not shards:
            self._ready.pop(key, None)
        return taken

    def drop(self, shards: Collection[HeldLease]) -> None:
        """Forget the lines of these shards."""
        for held in shards:
            key = _key(held)
            found = self._ready.get(key, {})
            found.pop(held, None)
            if not found:
                self._ready.pop(key, None)

    def _of(self, held: HeldLease) -> deque[Line]:
        return self._ready.setdefault(_key(held), {}).setdefault(held, deque())


def _key(held: HeldLease) -> Key:
    return held.lease.batch_id, held.lease.model
