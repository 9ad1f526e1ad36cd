"""When a delivery that was not taken is tried again, and when it is given up."""

from collections.abc import Sequence
from random import Random
from typing import Literal

from msgspec import Struct

from batchyard.rules.retry import asked_pause_seconds

__all__ = [
    "ENDPOINTS_MAX",
    "ENDPOINTS_PAGE",
    "GIVE_UP_SECONDS",
    "OVERLAP_SECONDS",
    "Taken",
    "weigh_answer",
]

GIVE_UP_SECONDS = 72 * 3_600
# How long a replaced secret still signs, where that was asked for.
OVERLAP_SECONDS = 24 * 3_600
# Each end of a batch is told to all of a project's endpoints.
ENDPOINTS_MAX = 100
# (least, most, default) of `limit`.
ENDPOINTS_PAGE = (1, 100, 20)

# Waiting doubles from the first to the second, which is also the most that can be asked for.
_BACKOFF_SECONDS = (5.0, 4 * 3_600.0)


class Taken(Struct, frozen=True):
    """What an attempt came to; `due_at` is the next one's time, None where there is none.

    `gone`: the receiver wants nothing more, ever.
    """

    state: Literal["delivered", "pending", "given_up"]
    due_at: float | None = None
    gone: bool = False


def weigh_answer(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    attempts: int,
    *,
    age_seconds: float,
    now: float,
    chance: Random,
) -> Taken:
    """Weigh the answer to attempt number `attempts` (from 1); status 0: there was none.

    Any 2xx is success, 410 is goodbye, all else is tried again until the event is 72 hours old.
    """
    if 200 <= status < 300:
        return Taken("delivered")
    if status == 410:
        return Taken("given_up", gone=True)
    asked = asked_pause_seconds(status, headers, now, _BACKOFF_SECONDS[1]) if status else None
    due_in = max(_backoff_seconds(attempts, chance), asked or 0.0)
    if age_seconds >= GIVE_UP_SECONDS:
        return Taken("given_up")
    # The last attempt is made when the time is over, not some hours before.
    return Taken("pending", now + min(due_in, max(1.0, GIVE_UP_SECONDS - age_seconds)))


def _backoff_seconds(attempts: int, chance: Random) -> float:
    first, most = _BACKOFF_SECONDS
    return float(min(most, first * 2.0 ** min(attempts - 1, 20))) * (0.5 + chance.random() / 2)
