"""How a batch ends, and what becomes of lines that never got an answer."""

from msgspec import Struct

from batchyard.wire.objects import BatchStatus

__all__ = ["FILE_CORRUPT", "WORKER_LOST", "Settlement", "settle"]


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

# (code, message) of lines whose request cannot be read any more as it was uploaded.
FILE_CORRUPT = (
    "file_corrupt",
    "This request could not be executed: the stored input file is damaged or gone.",
)


def settle(status: BatchStatus, *, unanswered: int) -> Settlement:
    """Settle a batch that is closed to further results."""
    if status == "cancelling":
        return _CANCELLED
    assert status == "finalizing", f"a batch that is {status} cannot end"
    return _EXPIRED if unanswered else _COMPLETED
