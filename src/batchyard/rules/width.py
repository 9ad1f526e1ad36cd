"""How many lines a lane may have in flight: as many as the upstream answers without slowing."""

__all__ = ["Width"]

# A turn judges at least so many answers.
_TURN_ANSWERS_MIN = 8
# Doubling ends when answers take this much longer than at half the width: the upstream is full.
_FULL_FACTOR, _FULL_SECONDS = 1.6, 0.0015
# Against the best mean seen, wider is too slow beyond the first pair, narrower beyond the second.
_SLOW_FACTOR, _SLOW_SECONDS = 2.0, 0.0015
_TOO_SLOW_FACTOR, _TOO_SLOW_SECONDS = 3.0, 0.05
# The best is forgotten turn by turn, for the work itself may have become harder, and what computes
# many at once answers each later, but more a second. Not so where answers come at once: there more
# in flight are no more a second, only more memory to walk through.
_LONG_SECONDS, _FORGOTTEN_SHARE = 0.03, 0.02
# Half as many in flight take at most this share of the time, where waiting made them slow.
_RELIEF_FACTOR = 0.75
# A share of failures above this narrows the lane.
_TROUBLE_SHARE = 0.1
# Lines that wait ready: at least one shard, and memory bounds the most.
_AHEAD_LINES, _AHEAD_SECONDS = (500, 4000), 0.2


class Width:
    """An adaptive limit, judged once per turn of about as many answers as it lets in flight.

    It doubles each turn until the upstream is full or troubled, then grows by a sixteenth of
    itself, and shrinks when answers get slow or fail.
    """

    def __init__(self, *, start: int, ceiling: int) -> None:
        self.limit = min(start, ceiling)
        self._ceiling = ceiling
        self._doubling = True
        self._narrower: tuple[int, float] | None = None
        self._best_seconds: float | None = None
        # The width and the mean with which it became too slow.
        self._slow: tuple[int, float] | None = None
        self._answers = self._troubles = 0
        self._seconds = 0.0
        self._was_full = False
        # How many lines should wait ready behind those in flight: those of the next 0.2 s.
        self.ahead = _AHEAD_LINES[0]
        # What an answer took on average, in the last turn.
        self.answer_seconds = 0.0

    def answered(self, seconds: float, *, full: bool, now: float) -> None:
        """Count an answer that took so long; `full`: the lane had no room left."""
        self._answers += 1
        self._seconds += seconds
        if full:
            self._was_full = True
        if self._answers >= self.limit and self._answers >= _TURN_ANSWERS_MIN:
            self._turn()

    def timed_out(self, now: float) -> None:
        """Count a call that had no answer in time."""
        self.troubled(now)

    def troubled(self, now: float) -> None:
        """Count a failure that tells of an overloaded upstream."""
        self._troubles += 1
        if self._answers + self._troubles >= max(self.limit, _TURN_ANSWERS_MIN):
            self._turn()

    def _turn(self) -> None:
        share = self._troubles / (self._answers + self._troubles)
        mean = self._seconds / self._answers if self._answers else None
        if share > _TROUBLE_SHARE:
            self._shrink(0.7)
        elif mean is not None:
            self._judge(mean)
            self._look_ahead(mean)
            self.answer_seconds = mean
        self._answers = self._troubles = 0
        self._seconds = 0.0
        self._was_full = False

    def _judge(self, mean: float) -> None:
        best = self._best_seconds
        if best is None or mean < best:
            best = mean
        if mean >= _LONG_SECONDS:
            best += (mean - best) * _FORGOTTEN_SHARE
        self._best_seconds = best
        if self._doubling:
            self._double(mean)
        elif mean > best * _TOO_SLOW_FACTOR + _TOO_SLOW_SECONDS:
            self._relieve(mean)
            return
        elif self._was_full and mean <= best * _SLOW_FACTOR + _SLOW_SECONDS:
            self.limit = min(self._ceiling, self.limit + max(1, self.limit // 16))
        self._slow = None

    def _relieve(self, mean: float) -> None:
        """Shrink; where that does not help, it is the work that has become harder: begin anew."""
        limit, seconds = self._slow = self._slow or (self.limit, mean)
        if self.limit > max(1, limit // 2):
            self._shrink(0.9)
            return
        if mean <= seconds * _RELIEF_FACTOR:
            self._slow = (self.limit, mean)
            self._shrink(0.9)
            return
        self._best_seconds, self._slow = mean, None
        self._doubling, self._narrower = True, None

    def _look_ahead(self, mean: float) -> None:
        first, most = _AHEAD_LINES
        self.ahead = max(first, min(most, int(self.limit * _AHEAD_SECONDS / max(mean, 1e-6))))

    def _double(self, mean: float) -> None:
        if self._narrower is not None:
            limit, seconds = self._narrower
            if mean > max(seconds * _FULL_FACTOR, seconds + _FULL_SECONDS):
                self.limit, self._doubling = limit, False
                return
        if self._was_full and self.limit < self._ceiling:
            self._narrower = (self.limit, mean)
            self.limit = min(self._ceiling, self.limit * 2)

    def _shrink(self, factor: float) -> None:
        self._doubling = False
        self.limit = max(1, int(self.limit * factor))
