"""What the doors stand on."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from batchyard.config import Settings
from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.contents import Beginnings
from batchyard.places.database import Inline, Runner
from batchyard.places.posting import Posting
from batchyard.places.store import Identity, Records, Webhooks
from batchyard.rules.addresses import Fence
from batchyard.rules.limits import Limits
from batchyard.rules.readiness import Readiness
from batchyard.server.turnstile import Turnstile
from batchyard.server.wardrobe import Wardrobe
from batchyard.wire.models import ModelList

__all__ = ["Yard"]


@dataclass(frozen=True)
class Yard:
    """Everything a route may use.

    `limits` are those of the settings, which a project may overrule (`gate.limits_of`).
    `store` runs short statements that write, `pages` those that read, so that they do not wait
    for a disk; `reads` those that are over before a thread would have begun;
    `disk` what reads and writes bulk; `ring` tells the workers of
    a change; `models` asks the upstreams what they serve.
    """

    records: Records
    identity: Identity
    webhooks: Webhooks
    fence: Fence
    posting: Posting
    blobs: Blobs
    limits: Limits
    clock: Clock
    chance: random.Random
    store: Runner
    pages: Runner
    disk: Runner
    ring: Callable[[], None]
    models: Callable[[], Awaitable[ModelList]]
    settings: Settings
    # None where nobody asks whether the server is ready.
    readiness: Callable[[], Awaitable[Readiness]] | None = None
    # A row of SQLite is read in less time than a thread is woken in.
    reads: Runner = field(default_factory=Inline)
    wardrobe: Wardrobe = field(default_factory=Wardrobe)
    turnstile: Turnstile = field(default_factory=Turnstile)
    # What was found sound of results that still grow.
    beginnings: Beginnings = field(default_factory=Beginnings)
    # Requests that run now and must not run twice, by project and key.
    running: Counter[tuple[str, str]] = field(default_factory=Counter)

    def now(self) -> int:
        """Unix time in whole seconds."""
        return int(self.clock.wall())
