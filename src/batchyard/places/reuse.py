"""Learns from how an upstream closes connections for how long, and how often, one may be used."""

from msgspec import Struct

from batchyard.places.answer import Ending

__all__ = ["Resending", "Reuse"]

# An upstream that closes so many connections in a row as it is asked again gets new ones.
_UNANSWERED_MAX = 3
_ALONE_SECONDS = 60.0
# Connections are given up at this share of the time after which the upstream did.
_KEPT_SHARE = 0.8


class Resending(Struct, frozen=True):
    """When a connection is taken for one that was closed for being idle, as it was asked.

    It had been idle for so long, as servers allow, and its end was known so soon after. That is
    asked only where TCP does not tell: a relay on the way acknowledges what its peer never saw.
    """

    idle_seconds_min: float = 1.0
    seconds_max: float = 1.0


class Reuse:
    """What is known of one upstream; `watches` while connections that served were of no use."""

    def __init__(self, resending: Resending, kept_seconds: float) -> None:
        self.watches = False
        self._resending, self._kept_seconds = resending, kept_seconds
        self._unanswered_in_row = 0
        self._new_ones_answer = False
        self._alone_until = 0.0

    def kept_seconds(self, now: float) -> float:
        """How long a connection that is idle may be kept."""
        return 0.0 if now < self._alone_until else self._kept_seconds

    def may_serve_again(self, served: int, now: float) -> bool:
        """Whether a connection that has just brought an answer, its n-th, may have another call."""
        if served > 1:
            self._unanswered_in_row = 0
            self.watches = self._alone_until > 0
            return True
        self._new_ones_answer = True
        if now < self._alone_until:
            return False
        self._alone_until = 0.0
        return True

    def was_stale(self, ending: Ending, idle_seconds: float, seconds: float, now: float) -> bool:
        """Whether a connection was closed before the request was read, so it may go out again.

        It had been idle for so long before, and was lost so long after the request went out.
        """
        by_idleness = self._resending
        if idle_seconds >= by_idleness.idle_seconds_min and seconds <= by_idleness.seconds_max:
            kept_seconds = max(by_idleness.idle_seconds_min, idle_seconds * _KEPT_SHARE)
            self._kept_seconds = min(self._kept_seconds, kept_seconds)
            return True
        if ending is Ending.UNREAD:
            return True
        # Of many that break at once, one counts: new ones must have been answered since the last.
        if self._new_ones_answer:
            self._new_ones_answer, self.watches = False, True
            self._unanswered_in_row += 1
            if self._unanswered_in_row >= _UNANSWERED_MAX:
                self._unanswered_in_row = 0
                self._alone_until = now + _ALONE_SECONDS
        return False
