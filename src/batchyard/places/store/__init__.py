"""The one transactional truth: files, batches, shards, segments, workers and keys."""

from batchyard.places.store.identity import Identity
from batchyard.places.store.opening import (
    Store,
    StoreUnusableError,
    in_words,
    is_full,
    open_store,
)
from batchyard.places.store.outbox import Outbox
from batchyard.places.store.records import Records
from batchyard.places.store.rows import ProjectRow
from batchyard.places.store.served import ServedModels
from batchyard.places.store.webhooks import Webhooks
from batchyard.places.store.work import Work

__all__ = [
    "Identity",
    "Outbox",
    "ProjectRow",
    "Records",
    "ServedModels",
    "Store",
    "StoreUnusableError",
    "Webhooks",
    "Work",
    "in_words",
    "is_full",
    "open_store",
]
