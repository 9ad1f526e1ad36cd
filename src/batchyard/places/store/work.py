"""What the flow takes and gives back: due courses, leased shards, recorded pieces.

A write that comes too late changes nothing and says so.
"""

from sqlalchemy.exc import DBAPIError

from batchyard.places.store.courses import Courses
from batchyard.places.store.failures import FailureRows
from batchyard.places.store.leases import Leases
from batchyard.places.store.quota import Quotas
from batchyard.places.store.standing import Standings
from batchyard.places.store.workers import Workers

__all__ = ["Work"]


class Work(Workers, Courses, Leases, Quotas, Standings, FailureRows):
    """The rows that the flow moves."""

    # What a statement raises when the disk is full or the database is away: nothing was done.
    faults: tuple[type[Exception], ...] = (DBAPIError,)
