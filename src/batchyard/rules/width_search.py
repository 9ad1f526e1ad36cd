"""Which width to try next, of what each brought: first a climb, then trials of neighbours.

Two widths are compared by their answers a second, never by how long an answer takes: batching
makes each answer slower while there are more of them, and a full queue looks like hard work.
"""

from math import ceil, exp, log, sqrt

from msgspec import Struct

__all__ = ["FREE_SECONDS", "Turn", "WidthSearch"]

# Answers that come this soon keep nobody waiting: so wide a lane may be in any case.
FREE_SECONDS = 0.008

# The climb goes four times as wide while the rate follows, twice as wide while it half follows.
# What is compared is the logarithm of the rates over that of the widths: 1 is full, 0 no gain.
_FAST, _SLOW = 4.0, 2.0
_FOLLOWS, _HALF_FOLLOWS = 0.85, 0.5
# Where answers come this soon, a step that brings little is looked at again before the climb ends:
# in so short a time our own process may have stood still.
_LOOK_SECONDS, _LOOKS_MAX = 0.3, 2
# A climb that ends goes back to where its last rate would have been reached, and a little wider.
_KNEE_FACTOR = 1.1
# What a width is worth: a lane half as wide again must bring about 2.5 % more answers.
_WORTH = 0.06
# A trial is so many times wider or narrower; narrower ones cost answers while they last.
_WIDER, _STEP_MIN, _STEP_MAX = 1.5, 1.25, 2.0
# A trial ends when its outcome is so many standard errors away from nothing, or is compared often
# enough: then a wider lane must have won by so many errors, a narrower one not have lost.
_SURE, _SURELY_WIDER = 2.0, 2.5
_WIDER_COMPARISONS_MAX, _NARROWER_COMPARISONS_MAX = 6, 3
_WON, _NOT_LOST = 1.5, -0.5
# Turns between trials: from the first, twice as many after each that brought nothing.
# Where answers take much longer than they can, sooner: there a narrower lane costs least.
_REST_TURNS_MIN, _REST_TURNS_MAX, _QUEUED_REST_TURNS_MAX = 2, 32, 8
_QUEUED_MUCH = 1.4
_CROWDED_TURNS = 64
# At one width the rate changes by so much only where the work or the load by others has changed.
_DRIFT, _DRIFT_ERRORS = 0.25, 5.0
# The variance of the logarithm of a rate, times the answers it is of: at first this, then learned
# from turns at one width, each with this share at least. An error is no less than the last.
_SPREAD, _LEARNED_SHARE, _LEARNED_SHARE_UP, _ERROR_MIN = 0.25, 0.1, 0.3, 0.005


class Turn(Struct, frozen=True):
    """What a width brought: answers a second, how long each took on average, and of how many.

    `queued` is that time over the least that was ever seen, more where there was trouble: by about
    so much the lane may be too wide. `most` is how wide it may be next.
    """

    width: int
    rate: float
    seconds: float
    answers: int
    queued: float
    most: int


class WidthSearch:
    """Told what one width brought, `next_width` names the next; it may be the same."""

    def __init__(self, start: int) -> None:
        # Turns of a climb are short, and so their rates rough.
        self.climbing = True
        # The width that trials are compared with; in a climb the last that was good.
        self.base = start
        # The rate of one width has fallen: for so many turns others may be there.
        self._crowded_turns, self._crowded_width = 0, start
        self._below: Turn | None = None
        self._looks = 0
        # What was left for a wider lane, until it is seen that what this brings lasts.
        self._former: tuple[int, float] | None = None
        # The logarithm of the rate of the base, and how that varies from turn to turn.
        self._level: float | None = None
        self._queued = 1.0
        self.spread, self._learned = _SPREAD, 0
        self._rest = self._patience = _REST_TURNS_MIN
        self._upward = True
        # By how much the next trial is narrower, and wider; None: by how long answers take.
        self._narrower: float | None = None
        self._wider = _WIDER
        # Of a trial: its width, the logarithm of its rate, what it won so far over the base.
        self._trial: int | None = None
        self._tried = 0.0
        self._gains: list[float] = []

    @property
    def rate(self) -> float:
        """Answers a second at the base; 0 while that is not known."""
        return 0.0 if self._level is None else exp(self._level)

    @property
    def is_crowded(self) -> bool:
        """Whether others may have come: each change of ours then moves the balance with them.

        That passes, and is not to be taken for what the width brings.
        """
        return self._crowded_turns > 0

    def next_width(self, turn: Turn) -> int:
        """The width of the turn after this one."""
        if self.climbing:
            return self._climb(turn)
        if self._trial is None:
            return self._hold(turn)
        if turn.width != self.base:
            return self._try(turn)
        return self._compare(turn)

    def retreat(self, width: int, *, upward: bool) -> None:
        """Settle at a width that something else than rates has asked for.

        `upward`: the next trial is a wider one, and soon; else a narrower one, and in a while.
        """
        self._settle(width, upward=upward)
        if not upward:
            self._patience = self._rest = _REST_TURNS_MAX // 4

    def _settle(self, width: int, *, upward: bool) -> int:
        self.climbing, self._trial, self._level, self._looks = False, None, None, 0
        self._upward, self._narrower, self._wider = upward, None, _WIDER
        self._patience, self._rest = _REST_TURNS_MIN, 1
        self.base = width
        return width

    def _climb(self, turn: Turn) -> int:
        below, factor = self._below, _FAST
        if below is not None and turn.seconds > FREE_SECONDS:
            gain = log(turn.rate / below.rate)
            follows = gain / log(turn.width / below.width)
            if (
                follows < _HALF_FOLLOWS
                and self._looks < _LOOKS_MAX
                and turn.seconds < _LOOK_SECONDS
            ):
                self._looks += 1
                return turn.width
            if follows < _HALF_FOLLOWS:
                knee = ceil(below.width * max(1.0, turn.rate / below.rate) * _KNEE_FACTOR)
                free = int(turn.rate * FREE_SECONDS)
                return self._settle(min(turn.width, max(knee, free)), upward=gain > _DRIFT)
            if follows < _FOLLOWS:
                factor = _SLOW
        self._below, self.base, self._looks = turn, turn.width, 0
        return self._climb_on(turn, factor)

    def _climb_on(self, turn: Turn, factor: float) -> int:
        wider = min(turn.most, int(turn.width * factor))
        if wider > turn.width:
            return wider
        # As far as the rate has followed there is little to be had from a narrower lane.
        self._settle(turn.width, upward=True)
        self._patience = _REST_TURNS_MAX // 2
        return turn.width

    def _hold(self, turn: Turn) -> int:
        free = min(turn.most, int(turn.rate * FREE_SECONDS))
        if free > turn.width * _STEP_MIN:
            return self._settle(free, upward=True)
        self._note_level(turn)
        self._queued = turn.queued
        self._rest -= 1
        if self._rest > 0:
            return turn.width
        return self._give_back(turn) or self._start_trial(turn)

    def _give_back(self, turn: Turn) -> int | None:
        """The former width, where what a wider lane has won was taken from others, and is gone."""
        former, self._former = self._former, None
        if former is None or turn.width <= former[0]:
            return None
        width, level = former
        lasting = log(turn.rate) - level - _WORTH * log(turn.width / width)
        if lasting > -self._error(turn):
            return None
        self.base, self._level = width, None
        self._rest = self._patience = min(_REST_TURNS_MAX, 2 * self._patience)
        self._upward, self._narrower, self._wider = False, None, _WIDER
        return width

    def _start_trial(self, turn: Turn) -> int:
        trial = self._neighbour(turn)
        if trial == turn.width:
            self._upward, self._rest = not self._upward, self._patience
            return trial
        self._trial, self._gains = trial, []
        return trial

    def _neighbour(self, turn: Turn) -> int:
        width = turn.width
        if self._upward:
            # Before others came, so wide a lane took all there was: a wider one takes it from them.
            most = min(turn.most, self._crowded_width) if self.is_crowded else turn.most
            return max(width, min(most, max(width + 1, int(width * self._wider))))
        if turn.seconds < FREE_SECONDS:
            return width
        # Where answers take much longer than they can, there is probably much to be taken back.
        step = self._narrower or min(_STEP_MAX, max(_STEP_MIN, sqrt(turn.queued)))
        return max(1, min(width - 1, round(width / step)), int(turn.rate * FREE_SECONDS))

    def _note_level(self, turn: Turn) -> bool:
        """Note the rate of the base; tells whether it is another than it was."""
        level, before = log(turn.rate), self._level
        self._level = level
        if before is None:
            return False
        change = level - before
        if abs(change) > max(_DRIFT, _DRIFT_ERRORS * self._error(turn)):
            self._patience, self._rest = _REST_TURNS_MIN, min(self._rest, 1)
            self._upward, self._narrower, self._wider = change > 0, None, _WIDER
            if change < 0:
                narrowest = self._crowded_width if self._crowded_turns else self.base
                self._crowded_turns = _CROWDED_TURNS
                self._crowded_width = max(narrowest, self.base)
            elif turn.queued < _QUEUED_MUCH:
                self._crowded_turns = 0
            return True
        if self._crowded_turns:
            self._crowded_turns -= 1
            if not self._crowded_turns and turn.queued > _QUEUED_MUCH:
                # They may still be there: a step wider, for as long again.
                self._crowded_turns = _CROWDED_TURNS
                self._crowded_width = int(self._crowded_width * _STEP_MIN) + 1
        self._learned += 1
        more = change * change / 2 * turn.answers - self.spread
        share = _LEARNED_SHARE_UP if more > 0 else _LEARNED_SHARE
        self.spread += more * max(share, 1 / (self._learned + 2))
        return False

    def _error(self, turn: Turn) -> float:
        return max(_ERROR_MIN, sqrt(self.spread / turn.answers))

    def _try(self, turn: Turn) -> int:
        assert self._level is not None
        self._tried = log(turn.rate)
        widening = log(turn.width / self.base)
        gain, error = self._tried - self._level, self._error(turn) * sqrt(2)
        won = gain - _WORTH * widening
        if self._upward and won > _SURELY_WIDER * error:
            # Clearly more: go on from here at once, in great steps where there is much to be had.
            self._accept()
            if gain > _HALF_FOLLOWS * widening:
                self.climbing, self._crowded_turns, self._below = True, 0, turn
                return self._climb_on(turn, _SLOW)
            self._level = self._tried
            return self._start_trial(turn)
        if won < -_SURE * error:
            return self._reject()
        return self.base

    def _compare(self, turn: Turn) -> int:
        assert self._level is not None
        assert self._trial is not None
        before = self._level
        if self._note_level(turn):
            self._gains.clear()
            return self._trial
        widening = log(self._trial / self.base)
        between = (before + self._level) / 2
        self._gains.append(self._tried - between - _WORTH * widening)
        count = len(self._gains)
        won, error = sum(self._gains) / count, self._error(turn) * sqrt(1.5 / count)
        sure = _SURELY_WIDER if self._upward and won > 0 else _SURE
        most = _WIDER_COMPARISONS_MAX if self._upward else _NARROWER_COMPARISONS_MAX
        if abs(won) <= sure * error and count < most:
            return self._trial
        if won > error * (_WON if self._upward else _NOT_LOST):
            return self._accept()
        return self._reject()

    def _accept(self) -> int:
        assert self._trial is not None
        assert self._level is not None
        if self._upward:
            self._former = self._former or (self.base, self._level)
        self.base, self._trial, self._level = self._trial, None, None
        self._patience, self._rest = _REST_TURNS_MIN, 1
        if self._upward:
            self._rest = _REST_TURNS_MIN
            self._wider = min(_STEP_MAX, self._wider * _STEP_MIN)
        else:
            self._narrower = None
        return self.base

    def _reject(self) -> int:
        self._trial = None
        most = _QUEUED_REST_TURNS_MAX if self._queued > _QUEUED_MUCH else _REST_TURNS_MAX
        self._rest = min(most, self._patience)
        self._patience = min(most, 2 * self._patience)
        if self._upward:
            self._wider = _STEP_MIN
        else:
            self._narrower = _STEP_MIN
        self._upward = not self._upward
        return self.base
