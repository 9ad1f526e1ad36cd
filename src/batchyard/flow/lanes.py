"""Lanes carry lines to an upstream and back, as many at once as it bears.

A lane belongs to one model at one upstream. A line waits in the lane's queue, crosses when there
is width, and comes back. What is to be tried again waits beside the queue: its place is free for
others. Everything here runs on the event loop as plain calls, for it runs once per line.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from random import Random

import msgspec

from batchyard.flow.failing import FailingLane
from batchyard.flow.landing import Landing
from batchyard.flow.line import Gate, LaneRules, Line
from batchyard.flow.probing import Done
from batchyard.flow.sending import Sender, Underway
from batchyard.flow.shards import HeldShard
from batchyard.places.log import log
from batchyard.places.transport import Answer, Fault
from batchyard.rules.retry import asked_pause_seconds, may_ask_for_pause
from batchyard.wire.lines import BOM, read_answer

__all__ = ["Gate", "Lane", "LaneRules", "Line"]

# Answers must take so many times as long as a lane lets them gather.
_GATHER_SHARE = 40
# A sick lane wants so many lines that it has not tried yet.
_PROBES = 8
# A lane that is asked to be silent for longer gives its lines to others.
_LONG_PAUSE_SECONDS = 2.0
# After so many failures without an answer, lines are taken from both ends of the queue.
_BOTH_ENDS_RUN = 3
# Lines that come to a sick lane are tried within so many seconds.
_HASTE_SECONDS = 0.25


class Lane(FailingLane):
    """The lines for one model at one upstream.

    `models_head` makes the head of a request for the upstream's list of models; `rewrite` makes
    the body that is sent, where the model of the line has another name there; `mask` takes
    our secrets out of an answer that is to be told of.
    """

    def __init__(
        self,
        sender: Sender,
        head: Callable[[str], bytes],
        land: Callable[[HeldShard, Landing], None],
        *,
        rules: LaneRules,
        gate: Gate,
        wall: Callable[[], float],
        chance: Random,
        hungry: Callable[[], None],
        quiet: Callable[[], None],
        models_head: Callable[[], bytes] | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        mask: Callable[[Answer], Answer] | None = None,
    ) -> None:
        super().__init__(land, rules=rules, wall=wall, chance=chance, models_head=models_head)
        self._sender, self._head, self._gate = sender, head, gate
        self._hungry, self._quiet = hungry, quiet
        self._rewrite, self._mask = rewrite, mask
        self._heads: dict[str, bytes] = {}
        self._queue, self._crossing = self.hand.queue, self.hand.crossing
        self._waiting = self.hand.waiting
        self._pump_is_due = self._from_end = False
        # When it had no line in hand any more.
        self.quiet_since = self._loop.time()

    def offer(self, lines: Iterable[Line]) -> None:
        """Take lines; they come back by `land`, unless they are withdrawn."""
        self._queue.extend(lines)
        if self.is_dormant:
            self.hasten()

    def hasten(self) -> None:
        """Probe soon, for there is something new to probe with."""
        soon = self._loop.time() + _HASTE_SECONDS
        if self._probe is None and self._paused_until > soon:
            self._wake_at(soon)
        elif self._paused_until == 0.0:
            self.pump_soon()

    def send_now(self, line: Line) -> bool:
        """Send a line at once, beyond the width; False where nothing may leave now."""
        if self.is_sick or not self._may_send():
            return False
        self._send_all((line,), self._loop.time())
        return True

    def pump(self) -> None:
        """Send what may be sent now."""
        now = self._loop.time()
        if now < self._paused_until or self._gate.is_shut(now):
            return
        queue, crossing = self._queue, self._crossing
        lines: Sequence[Line]
        try:
            if self._alert:
                lines = self._chosen()
                if not lines:
                    self._look_for_witness()
            else:
                room = self.width.limit - len(crossing)
                lines = [queue.popleft() for _ in range(min(room, len(queue)))]
        except Exception as error:
            log.exception("lane_failed", error=str(error))
            self._fail(None, error)
            return
        self._send_all(lines, now)
        if len(queue) < self.width.ahead >> 1:
            self._hungry()

    def _send_all(self, lines: Sequence[Line], now: float) -> None:
        crossing = self._crossing
        send, heads, rules = self._sender.send, self._heads, self._rules
        deadline = now + rules.timeout_seconds
        line: Line | None = None
        try:
            for line in lines:
                line.started = now
                body = line.body if self._rewrite is None else self._rewrite(line.body)
                head = heads.get(line.path) or self._head_of(line)
                crossing[line] = send(
                    b"%b%d\r\n\r\n" % (head, len(body)),
                    body,
                    deadline=deadline if deadline < line.deadline else line.deadline,
                    body_bytes_max=rules.body_bytes_max,
                    done=self._back,
                    ticket=line,
                )
        except Exception as error:
            log.exception("lane_failed", error=str(error))
            rest = [one for one in reversed(lines) if one not in crossing and one is not line]
            self._queue.extendleft(rest)
            self._probe = None
            self._fail(line, error)
            return
        if lines and not self._stalls.is_watching:
            self._stalls.watch()

    @property
    def is_sick(self) -> bool:
        """Whether it is shut but for probes, for nothing is answered."""
        return self.health.sickness is not None

    @property
    def is_dormant(self) -> bool:
        """Whether it is sick, and has nothing at hand to see with whether that has passed."""
        is_waiting = self._wake is not None or self._probe is not None or self._witness is not None
        return self.is_sick and not is_waiting

    @property
    def paused(self) -> bool:
        """Whether the upstream has asked for silence or gives none of its own accord."""
        return self.health.sickness is not None or self._loop.time() < self._paused_until

    @property
    def held(self) -> int:
        """Lines that are in this lane's hands, wherever they are."""
        return len(self.hand)

    @property
    def queued(self) -> int:
        """Lines that wait for a place."""
        return len(self._queue)

    @property
    def appetite(self) -> int:
        """How many more lines the lane would like to have at hand."""
        if self.health.sickness is not None:
            return 0 if self.hand.has_untried else _PROBES
        return self.width.limit + self.width.ahead - len(self._queue) - len(self._crossing)

    @property
    def in_flight(self) -> int:
        """Lines that are at the upstream now."""
        return len(self._crossing)

    def resting(self) -> tuple[Collection[Line], float]:
        """Lines to be tried again, and before which moment (loop time) nothing is sent."""
        return self._waiting, self._paused_until

    def owners_in_flight(self) -> set[HeldShard]:
        """The shards of which lines are at the upstream now."""
        return {line.owner for line in self._crossing}

    def lines(self) -> Iterator[Line]:
        """All lines in hand."""
        return iter(self.hand)

    def unsent(self) -> Iterator[Line]:
        """The lines that were never sent."""
        return (line for line in self._queue if not line.calls)

    def recall(self) -> list[Line]:
        """Take back the lines that were never sent, for others may have a better claim now."""
        return self.hand.recall()

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        """Take back lines that have not come back; those at the upstream only with `abort`."""
        taken = self.hand.withdraw(wanted, abort=abort)
        for line in taken:
            self._condemned.pop(line, None)
            if line is self._probe:
                self._probe = None
        self.pump()
        return taken

    def surrender(self) -> list[Line]:
        """Give away the lines that are not at the upstream, as if they had never been here."""
        taken = self.hand.withdraw(lambda line: line not in self._condemned, abort=False)
        for line in taken:
            line.trouble = None
        return taken

    def lend(self, count: int) -> list[Line]:
        """Give away so many lines from the end of the queue."""
        taken = [self._queue.pop() for _ in range(min(count, len(self._queue)))]
        for line in taken:
            line.trouble = None
        return taken

    def close(self) -> None:
        """Stop for good; no line comes back any more."""
        self._gate = Gate()
        self._gate.held = True
        self.withdraw(lambda _line: True, abort=True)
        self._stalls.close()
        for underway in (self._witness, self._asking_models):
            if underway is not None:
                underway.cancel()
        if self._wake is not None:
            self._wake.cancel()

    def _chosen(self) -> Sequence[Line]:
        """The lines to send where something is unusual."""
        if self.health.sickness is not None:
            return self._probes()
        if self._witness is not None and self._is_stuck():
            return ()
        queue, limit = self._queue, self.width.limit
        room = min(limit, self._ramp or limit) - len(self._crossing) + len(self._stalls.hanging)
        both = self.health.run >= _BOTH_ENDS_RUN
        lines = []
        for _ in range(min(room, len(queue))):
            self._from_end = both and not self._from_end
            lines.append(queue.pop() if self._from_end else queue.popleft())
        return lines

    def _may_send(self) -> bool:
        now = self._loop.time()
        return now >= self._paused_until and not self._gate.is_shut(now)

    def forget_heads(self) -> None:
        """The upstream is asked at another place from now on."""
        self._heads.clear()

    def _head_of(self, line: Line) -> bytes:
        head = self._heads[line.path] = self._head(line.path)
        return head

    def _send(self, line: Line, done: Done, *, fresh: bool = False) -> Underway:
        now = self._loop.time()
        body = line.body if self._rewrite is None else self._rewrite(line.body)
        return self._sender.send(
            b"%b%d\r\n\r\n" % (self._heads.get(line.path) or self._head_of(line), len(body)),
            body,
            deadline=min(now + self._rules.timeout_seconds, line.deadline),
            body_bytes_max=self._rules.body_bytes_max,
            done=done,
            ticket=line,
            fresh=fresh,
        )

    def _fetch(
        self, head: bytes, done: Callable[[None, Answer | Fault], None], seconds: float = 5.0
    ) -> Underway:
        return self._sender.send(
            head + b"0\r\n\r\n",
            b"",
            deadline=self._loop.time() + seconds,
            body_bytes_max=self._rules.body_bytes_max,
            done=done,
            ticket=None,
        )

    def _back(self, line: Line, outcome: Answer | Fault) -> None:
        try:
            crossing, width = self._crossing, self.width
            was_full = len(crossing) >= width.limit
            del crossing[line]
            if type(outcome) is Answer and 200 <= outcome.status < 300:
                facts = read_answer(outcome.body)
                if facts is None and outcome.body.startswith(BOM):
                    body = outcome.body.removeprefix(BOM)
                    outcome, facts = msgspec.structs.replace(outcome, body=body), read_answer(body)
                if facts is not None and not facts.is_error:
                    now = self._loop.time()
                    width.answered(now - line.started, full=was_full, now=now)
                    self.health.answers += 1
                    self._known_good = line
                    if self._alert or line.trouble is not None:
                        self._relieve(line)
                    if may_ask_for_pause(outcome.headers):
                        self._heed(outcome)
                    landing = Landing(line.index, line.custom_id, line.calls + 1, outcome, facts)
                    self._land(line.owner, landing)
                    self.pump_soon()
                    return
            second = self.hand.seconds.pop(line, None)
            if second is not None:
                # The line is still out with its second call, which now is the only one.
                crossing[line] = second
                return
            # The transport masks all answers but those that call themselves successes.
            if self._mask is not None and type(outcome) is Answer and outcome.status < 300:
                outcome = self._mask(outcome)
            self._weigh(line, outcome)
        except Exception as error:
            log.exception("lane_failed", error=str(error))
            self._fail(line, error)
        self.pump_soon()

    def pump_soon(self) -> None:
        """Pump once for all that comes back in this turn of the loop, or a moment later.

        Requests that leave together wake the upstream once.
        """
        if self._pump_is_due:
            return
        self._pump_is_due = True
        gather_seconds = self._rules.gather_seconds
        if self.width.answer_seconds >= gather_seconds * _GATHER_SHARE:
            self._loop.call_later(gather_seconds, self._pump_now)
        else:
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pump_is_due = False
        self.pump()
        # Where lines wait to be tried again, or for the end of a pause, more is to come: what is
        # there may wait for it.
        if not self._crossing and not self._queue:
            if self._waiting:
                self._hungry()
            elif not self.paused and self.links.share():
                self.pump()
            else:
                # No line of a batch that is over is asked again, not even to test the upstream.
                self._known_good = None
                self.quiet_since = self._loop.time()
                self._quiet()

    def _heed(self, answer: Answer) -> bool:
        """Pause as long as the upstream asks; tells whether it asked."""
        asked = asked_pause_seconds(answer.status, answer.headers, self._wall())
        if not asked:
            return False
        reason = f"upstream_throttling: HTTP {answer.status}"
        until = self._loop.time() + asked
        if until > self._paused_until and self.health.sickness is None:
            self._pause(until, reason)
            if asked >= _LONG_PAUSE_SECONDS and not self._is_throttled:
                self._is_throttled = True
                self.links.changed("throttled", reason)
                # The line that met this pause is in the queue only a moment later.
                self._loop.call_soon(self.links.give)
        return True

    def _again(self, line: Line) -> None:
        self._waiting.pop(line, None)
        line.timer = None
        if line.trouble is not None:
            self.health.retrying(line.trouble)
        self._queue.appendleft(line)
        self.pump()
