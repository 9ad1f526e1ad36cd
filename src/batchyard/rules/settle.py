"""How a batch ends, and what becomes of lines that never got an answer."""

from msgspec import Struct

from batchyard.wire.objects import BatchStatus

__all__ = ["WORKER_LOST", "Settlement", "settle"]


class Settlement(Struct, frozen=True):
    """The end of a batch, and the code and message for its unanswered lines."""

    status: BatchStatus
    code: str
    message: str


_CANCELLED = Settlement(
    "cancelled", "batch_cancelled", "This request was not executed: the batch was cancelled."
)
_EXPIRED = Settlement(
    "expired",
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
_COMPLETED = Settlement("completed", "", "")

# (code, message) of the lines of a shard that took its worker down again and again.
WORKER_LOST = (
    "worker_lost",
    "The worker was lost each time it had this request in hand; it is not tried again.",
)


def settle(status: BatchStatus, *, unanswered: int) -> Settlement:
    """Settle a batch that is closed to further results."""
    if status == "cancelling":
        return _CANCELLED
    assert status == "finalizing", f"a batch that is {status} cannot end"
    return _EXPIRED if unanswered else _COMPLETED
