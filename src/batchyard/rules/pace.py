"""How many requests a minute a key may make: a bucket that fills evenly, kept as one number."""

from msgspec import Struct

__all__ = ["Pace", "in_words", "take"]

_MINUTE_SECONDS = 60.0


class Pace(Struct, frozen=True):
    """What became of one request; `full_at` is the bucket, to be kept for the next.

    `reset_seconds`: until the bucket is full; `wait_seconds`: until the next request may come.
    """

    allowed: bool
    full_at: float
    remaining: int
    reset_seconds: float
    wait_seconds: float


def take(full_at: float, now: float, per_minute: int) -> Pace:
    """Take one request from the bucket that would be full again at `full_at`.

    A bucket holds the requests of a minute, so that who was silent may be quick for once.
    """
    each = _MINUTE_SECONDS / per_minute
    missing = max(full_at - now, 0.0)
    allowed = missing + each <= _MINUTE_SECONDS * (1 + 1e-9)
    if allowed:
        missing += each
    return Pace(
        allowed=allowed,
        full_at=now + missing,
        remaining=max(0, int((_MINUTE_SECONDS - missing) / each + 1e-6)),
        reset_seconds=missing,
        wait_seconds=0.0 if allowed else missing + each - _MINUTE_SECONDS,
    )


def in_words(seconds: float) -> str:
    """A time as OpenAI's headers have it: 120ms, 8.64s, 6m0s."""
    milliseconds = max(0, -int(-seconds * 1000 // 1))
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    whole = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{whole}s" if minutes else f"{whole}s"
