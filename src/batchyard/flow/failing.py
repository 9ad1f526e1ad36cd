"""What a lane does about calls that fail: it asks again, gives up a line, or shuts and probes."""

from batchyard.flow.line import Line
from batchyard.flow.probing import ProbingLane, is_good
from batchyard.flow.sending import Underway
from batchyard.places.transport import Answer, Fault
from batchyard.rules.failures import Failure
from batchyard.rules.retry import backoff_seconds

__all__ = ["FailingLane"]

# While others are answered, the waits of a line double so often.
_DOUBLINGS_MAX = 5
# Whom the upstream has asked to wait so often, while it answered others, waits alone.
_HEEDED_TRIES = 3
# A line that raised an exception so often is not sent again.
_EXCEPTIONS_MAX = 3


class FailingLane(ProbingLane):
    """The part of a lane that runs only where a call fails."""

    def _weigh(self, line: Line, outcome: Answer | Fault) -> None:
        """Decide what becomes of a line whose call brought no good answer."""
        now = self._loop.time()
        was_probe = line is self._probe
        if was_probe:
            self._probe = None
        self._stalls.forget(line)
        line.calls += 1
        # Clocks are coarse: the end of its time may be told a hair before it.
        if now >= line.deadline - 0.001:
            # Its time is over, which says nothing of the upstream; whoever set it takes it back.
            self.hand.waiting[line] = None
            return
        failure = self._failure_of(line, outcome)
        if failure.blame == "line":
            # The upstream has looked at this very request, so it works.
            self.health.answers += 1
            self._relieve(line, is_probe=was_probe)
            self._give_up(line, outcome, failure)
        elif self.health.sickness is not None:
            self._weigh_sick(line, outcome, failure, now, was_probe=was_probe)
        elif failure.blame == "lane":
            self.hand.queue.appendleft(line)
            self._fall_sick(failure, now)
        else:
            self._weigh_open(line, outcome, failure, now)

    def _weigh_open(
        self, line: Line, outcome: Answer | Fault, failure: Failure, now: float
    ) -> None:
        health, trouble = self.health, line.trouble
        # An upstream that throttles one line while it answers others does not stop those.
        heeded = (
            type(outcome) is Answer
            and not (
                trouble is not None
                and trouble.tries >= _HEEDED_TRIES
                and trouble.last_answers < health.answers
            )
            and self._heed(outcome)
        )
        self._strain(failure, now, is_first=trouble is None)
        trouble = line.trouble = health.failed(trouble, failure, now, in_run=not heeded)
        if failure.key == "request_timeout" and self._queue_explains_time():
            trouble.tries = max(0, trouble.tries - 1)
        self._alert = True
        if heeded:
            queue = self.hand.queue
            (queue.appendleft if trouble.failures == 1 else queue.append)(line)
        elif health.is_own(trouble, failure, now):
            self._condemned[line] = outcome, failure
            self.hand.waiting[line] = None
        else:
            waits = max(1, min(trouble.failures, _DOUBLINGS_MAX))
            self.hand.waiting[line] = None
            delay = backoff_seconds(waits, self._chance)
            line.timer = self._loop.call_later(delay, self._again, line)
        if self._is_stuck():
            # A line that was answered before tells whether it is the lane's.
            if self._known_good is None:
                self._fall_sick(failure, now)
            elif self._witness is None:
                self._ask_witness()

    def _is_stuck(self) -> bool:
        """Whether so many lines have failed since the last answer that the lane may be sick."""
        return self.health.is_sick(len(self.hand), fragile=self._ramp > 0)

    def _strain(self, failure: Failure, now: float, *, is_first: bool) -> None:
        """Tell the width what may be too many in flight: once for a line, but each time-out."""
        if failure.key == "request_timeout":
            self.width.timed_out(now)
        elif failure.strains and is_first and not self.health.are_own:
            self.width.troubled(now)

    def _queue_explains_time(self) -> bool:
        """Whether a call may have waited at the upstream behind others of this lane."""
        usual, whole = self.width.answer_seconds, self._rules.timeout_seconds
        return self.width.limit > 1 and usual > whole / 4

    def _weigh_sick(
        self, line: Line, outcome: Answer | Fault, failure: Failure, now: float, *, was_probe: bool
    ) -> None:
        """A call of a sick lane failed: a probe, or one that left before."""
        trouble = line.trouble = self.health.probed(line.trouble, failure, now)
        # A line that was answered before tells more than the list of models.
        is_alone = self._known_good is None and self._lists_models
        if is_alone and self.health.is_lost(
            trouble, failure, now, deadline=line.deadline, held=len(self.hand) + 1
        ):
            self._give_up(line, outcome, failure)
        else:
            self.hand.queue.append(line)
        if was_probe:
            self._fall_sick(failure, now)

    # Calls that hang

    def _ask_again(self, line: Line) -> Underway:
        self.surplus += 1
        line.calls += 1
        self._alert = True
        return self._send(line, self._second_back, fresh=True)

    def _second_back(self, line: Line, outcome: Answer | Fault) -> None:
        """The second call of a line came back; its answer counts, for the first has none yet."""
        hand = self.hand
        if hand.seconds.pop(line, None) is None:
            # The first has failed meanwhile, and this call has taken its place.
            self._back(line, outcome)
            return
        if not is_good(outcome) and self._failure_of(line, outcome).blame != "line":
            self._stirred()
            return
        hand.crossing[line].cancel()
        self._stalls.won(line)
        line.started = line.doubled_at or line.started
        self._back(line, outcome)

    def _stirred(self) -> None:
        """Calls were found to hang, or not to: others may have their places."""
        self._alert = self._alert or self._stalls.is_busy
        now, probe = self._loop.time(), self._probe
        if probe is not None and now - probe.started >= self._stalls.patience_seconds - 0.001:
            # It may still be answered, and then opens the lane; another is sent meanwhile.
            self._probe = None
            self._rest_until_probe(None, now)
        self.pump_soon()

    # Exceptions

    def _fail(self, line: Line | None, error: Exception) -> None:
        """Something raised what nobody expected: the lane stops, its lines are kept."""
        reason = f"{type(error).__name__}: {error}"
        failure = Failure(key="lane_failed", detail=reason, blame="lane", reason="lane_failed")
        now = self._loop.time()
        if line is not None and line not in self.hand.crossing and line not in self.hand.waiting:
            line.calls += 1
            trouble = line.trouble = self.health.probed(line.trouble, failure, now)
            if trouble.failures >= _EXCEPTIONS_MAX:
                self._give_up(line, Fault("server_error", reason, sent=True), failure)
            else:
                self.hand.queue.append(line)
        self._fall_sick(failure, now)
