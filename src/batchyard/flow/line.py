"""A request line on its way, and what bounds the ways of all lines."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from batchyard.flow.shards import HeldShard
from batchyard.places.byte_budget import ByteBudget
from batchyard.rules.lane_health import Trouble

__all__ = ["Gate", "LaneRules", "Line", "Links"]


class Line(Struct, eq=False):
    """A request line on its way; `owner` is the shard it was read from.

    `calls` are all that brought no good answer, `started` is of the last. `trouble` is what it
    failed with in its lane. `doubled_at`: when it was asked a second time while its call was out.
    """

    owner: HeldShard
    index: int
    custom_id: str
    path: str
    body: bytes
    deadline: float
    calls: int = 0
    started: float = 0.0
    timer: asyncio.TimerHandle | None = None
    trouble: Trouble | None = None
    doubled_at: float | None = None


class Gate:
    """What holds all lanes back: a lease that is over, results that pile up, a full disk.

    And a `budget` that is spent: the bytes of large answers, from upstreams to the disk.
    """

    def __init__(self, budget: ByteBudget | None = None) -> None:
        self.budget = budget or ByteBudget()
        self.until = float("inf")
        self.held = False
        # Why what has come cannot be written, as a code, a colon and a sentence.
        self.fault: str | None = None
        self.disk_is_low = False

    def is_shut(self, now: float) -> bool:
        """Whether nothing may leave; `now` is of the loop's clock."""
        return self.held or self.disk_is_low or self.budget.is_spent or now >= self.until


class LaneRules(Struct, frozen=True):
    """Bounds of every call, and of how many there are at once.

    `gather_seconds`: so long a lane lets what comes back gather before it sends anew, where that
    is nothing beside the time of an answer. What leaves together comes back together, and costs
    less by a third; the event loops count in milliseconds. `key_setting` names the setting that
    holds the upstream's key, for whoever is told that the key is refused.
    """

    timeout_seconds: float = 600.0
    body_bytes_max: int = 32 << 20
    start: int = 2
    ceiling: int = 4096
    gather_seconds: float = 0.001
    key_setting: str = ""


class Links(Struct, frozen=True):
    """What a lane asks of whoever has all lanes.

    `changed` hears of a new state and the facts of it; `give` takes the lane's lines to other lanes
    of the model that are open; `borrow` brings a line from one of them, and `share` half of what
    waits in them: it tells whether there was any.
    """

    changed: Callable[[str, str | None], None] = lambda _state, _reason: None
    give: Callable[[], None] = lambda: None
    borrow: Callable[[], Line | None] = lambda: None
    share: Callable[[], bool] = lambda: False
