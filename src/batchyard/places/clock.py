"""Where time comes from: the wall clock that objects show, the steady one that leases use."""

import time
from collections.abc import Callable

from msgspec import Struct

__all__ = ["Clock", "system_clock"]

# A wall clock that leaps further than this at once is not believed until it has stood by it for
# so long: a wrong date for a moment must not expire every batch there is.
_LEAP_SECONDS, _DOUBT_SECONDS = 300.0, 600.0
_AHEAD_SECONDS_MAX = 2 * 86_400.0


class Clock(Struct, frozen=True):
    """Two ways to ask the time, both in seconds.

    `wall` is Unix time, does not go back while the process lives, and follows a leap forward of
    more than five minutes only after ten. `steady` is the same for all processes of a machine.
    """

    wall: Callable[[], float]
    steady: Callable[[], float]


def system_clock(
    wall: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
    *,
    not_before: float = 0.0,
) -> Clock:
    """The clock of this machine; its wall begins no earlier than `not_before`.

    That is the newest time that was ever written, so that nothing ends before it was begun when
    the clock was turned back between two lives. One that lies more than two days ahead is not
    believed: then it was the clock of before that was wrong.
    """
    return Clock(wall=_Doubtful(wall, steady, not_before), steady=steady)


class _Doubtful:
    """Asks the wall clock, and holds its answer against the time that has passed."""

    def __init__(
        self, wall: Callable[[], float], steady: Callable[[], float], not_before: float
    ) -> None:
        self._wall, self._steady = wall, steady
        self._told, self._told_at = wall(), steady()
        if self._told < not_before <= self._told + _AHEAD_SECONDS_MAX:
            self._told = not_before
        self._leapt_at: float | None = None

    def __call__(self) -> float:
        wall, now = self._wall(), self._steady()
        expected = self._told + (now - self._told_at)
        leap = wall - expected
        if leap > _LEAP_SECONDS:
            if self._leapt_at is None:
                self._leapt_at = now
            believed = now - self._leapt_at >= _DOUBT_SECONDS
        else:
            self._leapt_at = None
            believed = leap >= -_LEAP_SECONDS
        self._told = max(self._told, wall if believed else expected)
        self._told_at = now
        return self._told
