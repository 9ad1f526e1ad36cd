"""How a lane finds out whether its upstream answers: by probes, and by lines it answered before."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice
from random import Random

import msgspec

from batchyard.flow.in_hand import LinesInHand
from batchyard.flow.landing import Landing, given_up
from batchyard.flow.line import LaneRules, Line, Links
from batchyard.flow.sending import Underway
from batchyard.flow.shards import HeldShard
from batchyard.flow.stalls import Stalls
from batchyard.places.transport import Answer, Fault
from batchyard.rules.failures import Failure, failure_of_answer, failure_of_fault
from batchyard.rules.lane_health import LaneHealth, probe_delay_seconds
from batchyard.rules.width import Width
from batchyard.wire.lines import read_answer

__all__ = ["Done", "ProbingLane", "is_good"]

Done = Callable[[Line, Answer | Fault], None]
# A lane that has recovered begins with so many lines in flight, and one more for each answer.
_RAMP_START = 2
# Where nothing else is at hand, a witness is asked after so many lines have failed, or all.
_WITNESS_RUN = 10
# So many lines of the queue are looked at for one that has failed.
_WITNESS_LOOKS = 64
# Every fourth probe is a line that was answered before.
_KNOWN_PROBES = 4


class ProbingLane(ABC):
    """The part of a lane that shuts it and opens it again."""

    def __init__(
        self,
        land: Callable[[HeldShard, Landing], None],
        *,
        rules: LaneRules,
        wall: Callable[[], float],
        chance: Random,
        models_head: Callable[[], bytes] | None,
    ) -> None:
        self._land, self._rules, self._wall, self._chance = land, rules, wall, chance
        self._models_head = models_head
        self._loop = asyncio.get_running_loop()
        self.links = Links()
        self.hand = LinesInHand()
        self.health = LaneHealth()
        self.width = Width(
            start=rules.start, ceiling=rules.ceiling, timeout_seconds=rules.timeout_seconds
        )
        self._stalls = Stalls(
            self.hand,
            self._ask_again,
            answer_seconds=lambda: self.width.answer_seconds,
            may_send=self._may_send,
            stirred=self._stirred,
        )
        self._paused_until = 0.0
        self._wake: asyncio.TimerHandle | None = None
        self._is_throttled = False
        # Calls that were made beyond the first answer of a line.
        self.surplus = 0
        self.reason: str | None = None
        # Whether anything is unusual, so that an answer needs a second look.
        self._alert = False
        # How many lines may be in flight for now, after a recovery; 0 is no bound.
        self._ramp = 0
        self._probe: Line | None = None
        self._probes_sent = 0
        self._witness: Underway | None = None
        self._known_good: Line | None = None
        # Lines that are given up as soon as a call that left no earlier is answered.
        self._condemned: dict[Line, tuple[Answer | Fault, Failure]] = {}
        # Whether the list of models could be had when last asked.
        self._lists_models = False
        self._asking_models: Underway | None = None

    @abstractmethod
    def _send(self, line: Line, done: Done, *, fresh: bool = False) -> Underway:
        """Make one call for a line."""

    @abstractmethod
    def _fetch(self, head: bytes, done: Callable[[None, Answer | Fault], None]) -> Underway:
        """Make one call without a body."""

    @abstractmethod
    def pump(self) -> None:
        """Send what may be sent now."""

    @abstractmethod
    def _heed(self, answer: Answer) -> bool:
        """Pause as long as an answer asks for; tells whether it did."""

    @abstractmethod
    def pump_soon(self) -> None:
        """Send what may be sent, in a moment."""

    @abstractmethod
    def _back(self, line: Line, outcome: Answer | Fault) -> None:
        """Take what a call brought."""

    @abstractmethod
    def _ask_again(self, line: Line) -> Underway:
        """Make a second call for a line whose first hangs."""

    @abstractmethod
    def _stirred(self) -> None:
        """Give others the places of calls that hang."""

    @abstractmethod
    def _may_send(self) -> bool:
        """Whether a call may leave now."""

    @abstractmethod
    def _again(self, line: Line) -> None:
        """Put a line that has waited into the queue."""

    def _failure_of(self, line: Line, outcome: Answer | Fault) -> Failure:
        if type(outcome) is Answer:
            return failure_of_answer(outcome.status, outcome.headers, outcome.body)
        assert isinstance(outcome, Fault)
        detail = outcome.detail
        if outcome.code == "request_timeout" and outcome.sent:
            seconds = self._rules.timeout_seconds
            detail = f"The answer took longer than timeout_seconds = {seconds:g}."
        return failure_of_fault(outcome.code, detail, sent=outcome.sent)

    def _give_up(self, line: Line, outcome: Answer | Fault, failure: Failure) -> None:
        landing = given_up(line.index, line.custom_id, line.calls, outcome, failure.detail)
        self._land(line.owner, landing)

    def _fall_sick(self, failure: Failure, now: float) -> None:
        """Shut the lane but for probes, or keep it shut after one of them failed."""
        if failure.reason == "upstream_refuses" and self._rules.key_setting:
            detail = f"{failure.detail}; the key comes from {self._rules.key_setting}"
            failure = msgspec.structs.replace(failure, detail=detail)
        if self.health.sickness is not None:
            self.health.still_sick(failure)
            self._rest_until_probe(None, now)
            return
        troubles = [line.trouble for line in self.hand if line.trouble is not None]
        self.health.fall_sick(failure, now, troubles)
        self._condemned.clear()
        # No line has a moment of its own any more: all wait for a probe that is answered.
        self.hand.all_to_queue(now)
        self._ramp = 0
        self._alert = True
        self._rest_until_probe("sick", now)

    def _rest_until_probe(self, state: str | None, now: float) -> None:
        sickness = self.health.sickness
        assert sickness is not None
        delay = probe_delay_seconds(sickness, now) * (0.75 + self._chance.random() / 4)
        self._pause(now + delay, sickness.reason)
        self.reason = sickness.reason
        if state is not None:
            self.links.changed(state, self.reason)
        self.links.give()

    def _probes(self) -> tuple[Line, ...]:
        """The line to send from a sick lane: one at a time, another each time.

        Some are a line that was answered before, for any other may have a fault of
        its own; of the others, one that was never sent goes first.
        """
        if self._probe is not None or self._witness is not None:
            return ()
        hand = self.hand
        borrowed = None if hand.has_untried else self.links.borrow()
        if borrowed is None and not len(hand):
            # There is nothing to ask for: whatever comes to this lane wakes it.
            return ()
        self._ask_for_models()
        self._probes_sent += 1
        if self._known_good is not None and not self._probes_sent % _KNOWN_PROBES:
            if borrowed is not None:
                hand.queue.append(borrowed)
            self._ask_witness()
            return ()
        self._probe = line = borrowed or hand.take_probe(self._chance, self._loop.time())
        if line is not None:
            return (line,)
        if self._known_good is not None:
            self._ask_witness()
        return ()

    def _ask_for_models(self) -> None:
        """Ask what the upstream serves: it tells that it is up and takes the key."""
        if self._models_head is not None and self._asking_models is None:
            self._asking_models = self._fetch(self._models_head(), self._models_came)

    def _models_came(self, _ticket: None, outcome: Answer | Fault) -> None:
        self._asking_models = None
        self._lists_models = (
            type(outcome) is Answer
            and outcome.status == 200
            and read_answer(outcome.body) is not None
        )

    def _recover(self) -> None:
        self.health.recover()
        self.width.forgive(self._loop.time())
        self._ramp = _RAMP_START
        self._unpause()
        self.reason = None
        self.links.changed("recovered", None)

    # Pauses

    def _pause(self, until: float, reason: str) -> None:
        if until > self._paused_until:
            self.reason = reason
            self._wake_at(until)

    def _wake_at(self, moment: float) -> None:
        self._paused_until = moment
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._loop.call_at(moment, self._resume)

    def _unpause(self) -> None:
        self._paused_until = 0.0
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _resume(self) -> None:
        self._wake = None
        # Clocks are coarse: a timer may fire a hair before the moment it was set for.
        self._paused_until = 0.0
        if self.health.sickness is None:
            self.reason = None
            if self._is_throttled:
                self._is_throttled = False
                self.links.changed("resumed", None)
        self.pump()

    # Answers beside failures

    def _relieve(self, line: Line, *, is_probe: bool = False) -> None:
        """A call was answered while something is unusual."""
        health = self.health
        health.answered(line.trouble)
        self._stalls.answered(line)
        sickness = health.sickness
        is_probe = is_probe or line is self._probe
        if line is self._probe:
            self._probe = None
        if sickness is not None:
            # A call that left before may have been answered before; where requests were refused,
            # it shows all the same that others are not.
            if is_probe or sickness.is_of_requests or line.started >= sickness.since:
                self._recover()
        elif self._ramp:
            self._ramp += 1
            if self._ramp >= self.width.limit:
                self._ramp = 0
        for condemned, (outcome, failure) in list(self._condemned.items()):
            if condemned.started <= line.started:
                self._uncondemn(condemned)
                self._give_up(condemned, outcome, failure)
        self._alert = bool(health.sickness or self._ramp or self._condemned or self._stalls.is_busy)

    def _uncondemn(self, line: Line) -> None:
        del self._condemned[line]
        self.hand.waiting.pop(line, None)

    def _look_for_witness(self) -> None:
        """Ask a line again that was answered before, where all that is at hand has failed since.

        Nothing else can tell whether the upstream still answers.
        """
        hand, run = self.hand, self.health.run
        if hand.queue or hand.crossing or self._witness is not None:
            return
        if not run and not self._condemned:
            return
        if self.health.sickness is not None:
            return
        # Those that are given up already do not fail again.
        asked = len(hand) - len(self._condemned)
        if run < min(_WITNESS_RUN, asked) and any(line.timer is not None for line in hand.waiting):
            return
        if self._known_good is not None:
            self._ask_witness()
            return
        for line, (outcome, failure) in list(self._condemned.items()):
            self._uncondemn(line)
            self._give_up(line, outcome, failure)

    def _ask_witness(self) -> None:
        good = self._known_good
        assert good is not None
        witness = Line(good.owner, good.index, good.custom_id, good.path, good.body, float("inf"))
        self.surplus += 1
        # The call is counted with a line that has failed, if there is one: for its sake it is made.
        lines = [*self.hand.waiting, *islice(self.hand.queue, _WITNESS_LOOKS)]
        for line in [line for line in lines if line.calls][:1] or lines[:1]:
            line.calls += 1
        self._alert = True
        witness.started = self._loop.time()
        self._witness = self._send(witness, self._witnessed)

    def _witnessed(self, witness: Line, outcome: Answer | Fault) -> None:
        self._witness = None
        now = self._loop.time()
        if is_good(outcome):
            self._testify(witness)
        else:
            failure = self._failure_of(witness, outcome)
            if failure.blame == "line":
                # Good before, refused now: it tells of itself alone, and that the upstream works.
                self._known_good = None
                self._testify(witness)
            else:
                self.health.witness_failed()
                self._fall_sick(failure, now)
        self.pump_soon()

    def _testify(self, witness: Line) -> None:
        self.health.answers += 1
        self._relieve(witness, is_probe=True)


def is_good(outcome: Answer | Fault) -> bool:
    """Whether a call brought a whole answer that is no error."""
    if type(outcome) is not Answer or not 200 <= outcome.status < 300:
        return False
    facts = read_answer(outcome.body)
    return facts is not None and not facts.is_error
