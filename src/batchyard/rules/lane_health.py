"""The health of a lane: whether a failure is the line's own, or of all that is sent this way.

What fails while other lines are answered is the line's own; what fails for all is the lane's. A
lane whose calls all fail is sick: it is shut and probed, and no failure of such a run counts as a
try of its line. A line is given up when it failed so often, with answers to others in between,
that the share of failures among those others does not explain it.
"""

import math
from collections.abc import Iterable

from msgspec import Struct

from batchyard.rules.failures import Failure

__all__ = ["LaneHealth", "Sickness", "Trouble", "probe_delay_seconds"]

# An innocent line is given up with at most this chance.
_CHANCE_MAX = 1e-6
# So many lines failed since the last answer, and the lane is sick, or all it holds where those are
# fewer; the second where it has only just recovered.
_RUN_LINES = (10, 3)
# Each second try weighs so much in the share of those that failed too; above that share the
# failures are the lines' own.
_AGAIN_WEIGHT, _OWN_SHARE = 0.2, 0.9
# Only while others were answered for so long is a line given up that is throttled.
_THROTTLED_SECONDS_MIN = 120.0
# Probes wait for a tenth of the time that the lane is sick, within these bounds; where the credit
# is gone or a key is refused, no probe of the next seconds is likely to find it otherwise.
_PROBE_SHARE = 0.1
_PROBE_SECONDS = (0.25, 15.0)
_PATIENT_PROBE_SECONDS = {"upstream_out_of_credit": (30.0, 300.0)}
# Of a line that is alone, the share of its time that it is tried.
_LONE_SHARE = 0.125
# So few lines are alone: nothing tells whether it is theirs or the lane's.
_LONE_LINES_MAX = 10


class Trouble(Struct):
    """What befell one line in a lane since it failed first.

    `tries` are the failures that count, `failures` all; `at_answers` is how many answers the lane
    had seen at the last that counts, `last_answers` at the last of all. The counters of the lane
    are kept as they were at the first failure, for only what came since tells of the same weather.
    """

    key: str
    # Equal where the answers were.
    mark: int
    first_at: float
    first_answers: int
    failed: int
    retried: int
    failed_again: int
    tries: int = 1
    failures: int = 1
    at_answers: int = 0
    last_answers: int = 0
    is_same: bool = True
    was_retried: bool = False


class Sickness(Struct, frozen=True):
    """Why a lane is shut; `kind` and `detail` are for people, `since` is the loop's time."""

    kind: str
    detail: str
    key: str
    since: float
    # Failures that tell of a request, as far as one call can tell: a late answer refutes them.
    is_of_requests: bool

    @property
    def reason(self) -> str:
        """Kind and detail in one text."""
        return f"{self.kind}: {self.detail}"


class LaneHealth:
    """Counts what a lane's calls showed, and judges lines and the lane by it.

    `answers` are good ones, of whatever line; the lane adds to it itself, once for each line.
    """

    def __init__(self) -> None:
        self.answers = 0
        # Answers to lines that had failed before.
        self._late_answers = 0
        # First tries that failed; second tries that were sent, and those that failed too.
        self._failed = self._retried = self._failed_again = 0
        # Of the last second tries, about the share that failed too.
        self._again_share = 0.0
        # Lines that failed since the last answer.
        self.run = 0
        self.sickness: Sickness | None = None

    def answered(self, trouble: Trouble | None) -> None:
        """A call was answered after it or others had failed; `answers` counts it already."""
        self.run = 0
        if trouble is not None:
            self._late_answers += 1
            if trouble.failures == 1:
                self._again_share -= self._again_share * _AGAIN_WEIGHT

    def retrying(self, trouble: Trouble) -> None:
        """A line that has failed is sent again."""
        if not trouble.was_retried:
            trouble.was_retried = True
            self._retried += 1

    def failed(
        self, trouble: Trouble | None, failure: Failure, now: float, *, in_run: bool = True
    ) -> Trouble:
        """Count a failure in an open lane, with what is known of its line.

        Without `in_run` it is none that may show that the lane is sick.
        """
        if in_run and (trouble is None or trouble.last_answers < self.answers):
            self.run += 1
        if trouble is None:
            self._failed += 1
            return Trouble(
                failure.key,
                hash(failure.body),
                now,
                self.answers - self._late_answers,
                self._failed,
                self._retried,
                self._failed_again,
                at_answers=self.answers,
                last_answers=self.answers,
                is_same=failure.same_tries > 0,
            )
        trouble.last_answers = self.answers
        trouble.failures += 1
        if trouble.failures == 2:
            self._failed_again += 1
            self._again_share += (1.0 - self._again_share) * _AGAIN_WEIGHT
            self.retrying(trouble)
            # What this line adds itself is nothing about the others.
            trouble.retried += 1
            trouble.failed_again += 1
        same = failure.key == trouble.key and hash(failure.body) == trouble.mark
        trouble.is_same = trouble.is_same and same
        # Failures of one run are one accident, however often its lines are asked.
        if trouble.at_answers < self.answers or not trouble.tries:
            trouble.tries += 1
            trouble.at_answers = self.answers
        return trouble

    @property
    def are_own(self) -> bool:
        """Whether hardly any line that fails is answered when it is asked again.

        Then the failures are those lines' own, and do not tell of too many in flight.
        """
        return self._again_share > _OWN_SHARE

    def is_own(self, trouble: Trouble, failure: Failure, now: float) -> bool:
        """Whether chance, at the rate at which other lines fail, does not explain this line."""
        least = _THROTTLED_SECONDS_MIN if failure.reason == "upstream_throttling" else 0.0
        if now < trouble.first_at + least:
            return False
        return trouble.tries >= self._tries_needed(trouble, failure)

    def _tries_needed(self, trouble: Trouble, failure: Failure) -> int:
        answered = self.answers - self._late_answers - trouble.first_answers
        failed = self._failed - trouble.failed
        # Half a failure more than there were: what never failed yet may.
        share = (failed + 0.5) / (failed + answered + 1)
        least = failure.tries
        if trouble.is_same:
            # Of lines that fail by accident most are answered when they are asked again. Where
            # none is, the failures are those lines' own, and say nothing of the others. A second
            # try that is not back yet may still be answered.
            retried = self._retried - trouble.retried
            recovered = retried - (self._failed_again - trouble.failed_again)
            odds = (failed + 0.5) / (answered + 0.5)
            share = min(share, (max(0, recovered) + 1) / (max(0, retried) + 1) * odds)
            least = min(least, failure.same_tries)
        return max(least, math.ceil(math.log(_CHANCE_MAX) / math.log(max(share, 1e-12))))

    def is_sick(self, held: int, *, fragile: bool) -> bool:
        """Whether the failures since the last answer are the lane's, which has so many lines.

        `fragile`: it has only just recovered.
        """
        usual, after_recovery = _RUN_LINES
        return self.run >= min(after_recovery if fragile else usual, max(1, held))

    def fall_sick(self, failure: Failure, now: float, troubles: Iterable[Trouble]) -> Sickness:
        """Shut the lane; what its lines failed with since the last answer counts for none."""
        for trouble in troubles:
            if trouble.tries and trouble.at_answers == self.answers:
                trouble.tries -= 1
        self.sickness = self._sickness(failure, now)
        return self.sickness

    def probed(self, trouble: Trouble | None, failure: Failure, now: float) -> Trouble:
        """Note the failure of a probe, which counts as no try of its line."""
        if trouble is None or trouble.key != failure.key:
            trouble = self.failed(None, failure, now, in_run=False)
            trouble.tries = 0
            return trouble
        self._failed += 1
        trouble.failures += 1
        return trouble

    def witness_failed(self) -> None:
        """A line that was answered before is not answered now."""
        self._failed += 1

    def still_sick(self, failure: Failure) -> Sickness:
        """A probe has failed: the reason is what it showed."""
        assert self.sickness is not None
        self.sickness = self._sickness(failure, self.sickness.since)
        return self.sickness

    def recover(self) -> None:
        """A probe was answered."""
        self.run = 0
        self.sickness = None

    def is_lost(
        self, trouble: Trouble, failure: Failure, now: float, *, deadline: float, held: int
    ) -> bool:
        """Whether a line of a sick lane is given up, as nothing else can tell whose it is.

        The upstream works and takes the key, as far as its list of models shows, but no other
        line was ever answered.
        """
        if failure.lone_seconds is None or held > _LONE_LINES_MAX or trouble.key != failure.key:
            return False
        tried = min(failure.lone_seconds, (deadline - trouble.first_at) * _LONE_SHARE)
        return trouble.failures >= failure.tries and now >= trouble.first_at + tried

    def _sickness(self, failure: Failure, since: float) -> Sickness:
        about_requests = failure.lone_seconds is not None
        return Sickness(failure.reason, failure.detail, failure.key, since, about_requests)


def probe_delay_seconds(sickness: Sickness, now: float) -> float:
    """How long a sick lane waits before its next probe."""
    least, most = _PATIENT_PROBE_SECONDS.get(sickness.kind, _PROBE_SECONDS)
    return max(least, min(most, (now - sickness.since) * _PROBE_SHARE))
