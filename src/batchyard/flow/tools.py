"""What a shift works with, and the bounds it keeps."""

from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.database import Runner
from batchyard.places.store import Work
from batchyard.rules.limits import Limits
from batchyard.wire.money import Price

__all__ = ["ShiftRules", "Tools"]


class ShiftRules(Struct, frozen=True):
    """The times and bounds of a shift; seconds where not said otherwise."""

    lease_seconds: float = 30.0
    cancel_grace_seconds: float = 20.0
    leave_grace_seconds: float = 4.0
    # A line is given up when its worker was lost so often: the first time it goes on as before,
    # the second time its shard is watched, then each loss with this line out alone counts.
    losses_max: int = 4
    # So often an input may fail to be read, over some minutes, before it counts as damaged.
    read_tries_max: int = 10
    lines_held_max: int = 20_000
    piece_delay_seconds: float = 0.2
    disk_free_bytes_min: int = 0


class Tools(Struct, frozen=True):
    """What a shift works with; `hot` runs short calls, `heavy` those that read whole files.

    `limits_of` tells those of a project; `served_models` names models that upstreams serve.
    """

    work: Work
    blobs: Blobs
    hot: Runner
    heavy: Runner
    clock: Clock
    chance: Random
    limits: Limits
    limits_of: Callable[[str], Limits]
    known_model: Callable[[str], bool]
    price: Callable[[str], Price | None]
    free_bytes: Callable[[], int]
    served_models: Callable[[], Sequence[str]] = tuple
