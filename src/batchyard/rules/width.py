"""How many lines a lane may have in flight: as many as bring more answers a second, and no more.

Beyond that lines only wait in the upstream's own queue, and everybody else behind them.
`rules/width_search` compares widths; here rates are taken, and here are the bounds that hold
whatever it finds. `decisions/0011` has the laws and the figures.
"""

from math import inf, log, sqrt

from batchyard.rules.width_search import Turn, WidthSearch

__all__ = ["Width"]

# A rate is taken over so many answers at least: in a climb, and of a settled lane.
_CLIMB_ANSWERS_MIN, _TURN_ANSWERS_MIN = 4, 32
# Where rates vary much it is longer, up to twice, so that their standard error comes near this.
_TURN_ERROR = 0.04
# A turn of a settled lane lasts so long at least, for a moment may belong to another process.
_TURN_SECONDS_MIN = 0.1
# After a change so many answers for each in flight are let pass, for they left before it.
_SETTLING_FACTOR, _CROWDED_FACTOR = 1.5, 4.0
# Of answers that take longer the rate is width / mean time, which does not depend on where in a
# group of answers a turn ends. Of shorter ones it is counted: our own work between them counts.
_LONG_SECONDS = 0.05
# With a smaller share of the width in flight on average a turn tells nothing: lines were missing.
_FULL_SHARE, _ROUGHLY_FULL_SHARE = 0.7, 0.25
# The mean answer takes at most this share of the time-out, and so many times the least mean seen,
# unless fewer in flight are no faster. One turn may take half the time-out to find out.
_BOUND_SHARE, _LEAST_FACTOR, _ONCE_SHARE = 1 / 8, 12.0, 1 / 2
_LEAST_ANSWERS, _ALONE_FACTOR, _RELIEF = 16, 1.3, 0.9
# More failures than answers narrow the lane at once, if they are so many at least, and one for each
# in flight: failures come sooner than answers. Fewer count as answers that are missing.
_TROUBLES_MIN, _TROUBLE_FACTOR = 4, 0.75
# Where narrowing costs answers by this share of itself, failures have nothing to do with the width:
# for so many turns they do not count. A fence that they have put up stands no longer, either.
_VAIN_SHARE, _FORGOTTEN_TURNS = 0.5, 64
# After trouble a narrower lane is tried as where answers take so many times as long as they can.
_TROUBLED_QUEUED = 1.5
# An outage is forgiven wholly where it is the first within this time.
_FORGIVEN_SECONDS = 60.0
# So near to where there was trouble a lane does not widen.
_FENCE_FACTOR = 1.1
# Lines that wait ready: at least one shard, and memory bounds the most.
_AHEAD_LINES, _AHEAD_SECONDS = (500, 4000), 0.2


class Width:
    """An adaptive limit, judged once per turn of about as many answers as it lets in flight.

    `answered` runs once per line, all else once per turn. `now` is always of one clock that
    does not go back.
    """

    def __init__(self, *, start: int, ceiling: int, timeout_seconds: float = 600.0) -> None:
        self.limit = max(1, min(start, ceiling))
        # How many lines should wait ready behind those in flight: those of the next 0.2 s.
        self.ahead = _AHEAD_LINES[0]
        # What an answer took on average, in the last turn, and how many there were a second.
        self.answer_seconds = self.rate = 0.0
        self._search = WidthSearch(self.limit)
        self._most = self._ceiling = max(1, ceiling)
        self._timeout_seconds = timeout_seconds
        self._bound_seconds, self._least_seconds = timeout_seconds * _BOUND_SHARE, inf
        # The mean with which the bound has narrowed the lane, until it is seen what that brought.
        self._over_seconds: float | None = None
        self._is_bound = False
        # The turn. While it settles, what comes back left before the width changed.
        self._since: float | None = None
        self._answers = self._troubles = 0
        self._seconds = 0.0
        self._was_full = self._settling = False
        self._due = 1
        # Where there was trouble, and for how many turns that is remembered.
        self._fence: float = inf
        self._fence_turns = 0
        # The width, and its rate, that was narrowed for trouble, until it is seen what that cost.
        self._trouble: tuple[int, float] | None = None
        self._deaf_turns = 0
        self._halved_at = self._forgiven_at = -inf
        # The width of the last turn without any failure.
        self._untroubled = self.limit

    def answered(self, seconds: float, *, full: bool, now: float) -> None:
        """Count an answer that took so long; `full`: the lane had no room left."""
        self._answers += 1
        self._seconds += seconds
        if full:
            self._was_full = True
        if self._answers >= self._due:
            self._end_turn(now)

    def troubled(self, now: float) -> None:
        """Count a failure that tells of an overloaded upstream."""
        self._troubles += 1
        if self._settling:
            # It may have left before the width changed.
            self._due -= 1
            if self._answers >= self._due:
                self._end_turn(now)
        elif (
            self._troubles > self._answers
            and self._troubles >= max(_TROUBLES_MIN, self.limit)
            and not self._deaf_turns
        ):
            self._narrow_for_trouble(now)

    def timed_out(self, now: float) -> None:
        """Halve at once for a call that had no answer in time; once for all that left before."""
        if now - self._timeout_seconds < self._halved_at:
            return
        self._halved_at = now
        self._put_fence(self.limit)
        self._retreat(max(1, self.limit // 2), now, upward=False)

    def forgive(self, now: float) -> None:
        """Go back to the width of before: what failed of late failed at any width.

        Where that is said again within a minute, it may have been the width after all: half of it.
        """
        limit = self._untroubled
        if now < self._forgiven_at + _FORGIVEN_SECONDS:
            limit //= 2
        self._forgiven_at = now
        self._fence, self._fence_turns = inf, 0
        self._trouble, self._deaf_turns = None, 0
        self._retreat(max(self.limit, min(self._most, limit)), now, upward=True)

    def set_ceiling(self, ceiling: int | None, now: float) -> None:
        """Never more than so many in flight, whatever the settings allow; None: what they say."""
        self._most = self._ceiling if ceiling is None else max(1, min(self._ceiling, ceiling))
        if self.limit > self._most:
            self._retreat(self._most, now, upward=True)

    @property
    def why(self) -> str:
        """Why the lane is not wider, for whoever asks."""
        if self.limit >= self._ceiling:
            return "the settings allow no more"
        if self.limit >= self._most:
            return "the upstream has no more places"
        if self._search.climbing:
            return "still widening"
        if self._fence < inf:
            return "a wider lane met refusals or time-outs"
        if self._is_bound:
            return "answers of a wider lane take too long beside the time-out"
        return "a wider lane brings no more answers a second"

    def _end_turn(self, now: float) -> None:
        if self._settling:
            self._begin_turn(now)
            return
        if self._since is None:
            # The first answer of all: before it nothing of ours waited at the upstream.
            self._since = now - self._seconds
            self._bound_seconds = max(self._bound_seconds, self._seconds * _ALONE_FACTOR)
            self._due = max(_CLIMB_ANSWERS_MIN, self.limit)
            return
        answers, troubles = self._answers, self._troubles
        mean, elapsed = self._seconds / answers, max(now - self._since, 1e-9)
        share = self._seconds / (self.limit * elapsed)
        is_rough = self._search.climbing or troubles > 0 or mean < _LONG_SECONDS
        is_full = self._was_full and share >= (_ROUGHLY_FULL_SHARE if is_rough else _FULL_SHARE)
        self._begin_turn(now)
        if not troubles:
            self._untroubled = self.limit
        if not (is_full or troubles):
            return
        self.answer_seconds = mean
        self.rate = answers / elapsed if is_rough else self.limit / mean
        first, most = _AHEAD_LINES
        self.ahead = max(first, min(most, int(self.rate * _AHEAD_SECONDS)))
        self._forget()
        if answers >= _LEAST_ANSWERS:
            self._least_seconds = min(self._least_seconds, mean)
        if self._is_over_bound(mean, now) or self._was_vain(now):
            return
        queued = max(_TROUBLED_QUEUED if self._fence_turns else 1.0, mean / self._least_seconds)
        turn = Turn(self.limit, self.rate, mean, answers, queued, self._most_next(mean))
        limit = self._search.next_width(turn)
        if limit != self.limit:
            self._change(limit, now)

    def _most_next(self, mean: float) -> int:
        """How wide the lane may be next: half-way to where there was trouble, by the factor."""
        limit = self.limit
        once = max(limit + 1, limit * self._timeout_seconds * _ONCE_SHARE / max(mean, 1e-9))
        near = limit * _FENCE_FACTOR >= self._fence
        fenced = limit if near else sqrt(limit * self._fence)
        return max(min(limit, self._most), int(min(self._most, once, fenced)))

    def _begin_turn(self, now: float) -> None:
        self._answers = self._troubles = 0
        self._seconds = 0.0
        self._was_full = self._settling = False
        self._since = now
        if self._search.climbing:
            self._due = max(_CLIMB_ANSWERS_MIN, self.limit)
        else:
            least = max(_TURN_ANSWERS_MIN, int(self.rate * _TURN_SECONDS_MIN), 2 * self.limit)
            wanted = int(self._search.spread / _TURN_ERROR**2)
            self._due = min(max(least, wanted), 2 * least)

    def _change(self, limit: int, now: float) -> None:
        widest = max(limit, self.limit)
        if limit > self.limit:
            self._is_bound = False
        self.limit = limit
        self._begin_turn(now)
        if not self._search.climbing:
            factor = _CROWDED_FACTOR if self._search.is_crowded else _SETTLING_FACTOR
            self._settling, self._due = True, int(widest * factor)

    def _retreat(self, limit: int, now: float, *, upward: bool) -> None:
        self._search.retreat(limit, upward=upward)
        self._change(limit, now)

    def _forget(self) -> None:
        if self._deaf_turns:
            self._deaf_turns -= 1
        if self._fence_turns:
            self._fence_turns -= 1
            if not self._fence_turns:
                self._fence = inf

    def _is_over_bound(self, mean: float, now: float) -> bool:
        over, self._over_seconds = self._over_seconds, None
        if over is not None and mean > over * _RELIEF:
            # Fewer in flight were no faster: the work is as long as that.
            self._least_seconds = mean
            self._bound_seconds = max(self._bound_seconds, mean * _ALONE_FACTOR)
        bound = min(self._bound_seconds, self._least_seconds * _LEAST_FACTOR)
        if mean <= bound or self.limit == 1:
            return False
        self._is_bound = True
        # What came back in a climb left before the lane was as wide as now: it does not compare.
        self._over_seconds = None if self._search.climbing else mean
        self._retreat(max(1, int(self.limit * bound / mean * _RELIEF)), now, upward=False)
        return True

    def _narrow_for_trouble(self, now: float) -> None:
        base = self._search.base
        if self.limit > base:
            # A step too far: go back, and try again half-way.
            self._put_fence(self.limit)
            self._retreat(base, now, upward=True)
            return
        if self._trouble is None and self._search.rate:
            self._trouble = (self.limit, self._search.rate)
        self._put_fence(self.limit)
        self._retreat(max(1, int(self.limit * _TROUBLE_FACTOR)), now, upward=True)

    def _was_vain(self, now: float) -> bool:
        """Go back where narrowing for trouble has cost answers: it has other causes."""
        trouble, self._trouble = self._trouble, None
        if trouble is None or self.limit >= trouble[0]:
            return False
        began, its_rate = trouble
        if log(its_rate / self.rate) < _VAIN_SHARE * log(began / self.limit):
            return False
        self._deaf_turns, self._fence = _FORGOTTEN_TURNS, inf
        self._retreat(began, now, upward=True)
        return True

    def _put_fence(self, limit: int) -> None:
        self._fence, self._fence_turns = limit, _FORGOTTEN_TURNS
