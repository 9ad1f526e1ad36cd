"""Lanes carry lines to an upstream and back, as many at once as it bears.

A lane belongs to one model at one upstream. A line waits in the lane's queue, crosses when there
is width, and comes back. What is to be tried again waits beside the queue: its place is free for
others. Everything here runs on the event loop as plain calls, for it runs once per line.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import Random

from msgspec import Struct

from batchyard.flow.landing import Landing
from batchyard.flow.sending import Sender, Underway
from batchyard.flow.shards import HeldShard
from batchyard.places.transport import Answer, Fault
from batchyard.rules.retry import (
    Verdict,
    asked_pause_seconds,
    backoff_seconds,
    may_ask_for_pause,
    weigh_fault,
    weigh_status,
)
from batchyard.rules.width import Width
from batchyard.wire.lines import AnswerFacts, read_answer

__all__ = ["Gate", "Lane", "LaneRules", "Line"]

# The delays before a paused lane sends one line to see whether the upstream is back.
_PROBE_SECONDS = (0.25, 15.0)
# So many refusals in a row, and the key or the model is wrong for all, not for these lines.
_REFUSALS_MAX = 10
# Answers must take so many times as long as a lane lets them gather.
_GATHER_SHARE = 40


class Line(Struct, eq=False):
    """A request line on its way; `owner` is the shard it was read from.

    `tries` are those that count against it, `calls` all that brought no good answer; `started` is
    of the last.
    """

    owner: HeldShard
    index: int
    custom_id: str
    path: str
    body: bytes
    deadline: float
    tries: int = 0
    calls: int = 0
    started: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Gate:
    """What holds all lanes back: a lease that is over, results that pile up, a full disk."""

    def __init__(self) -> None:
        self.until = float("inf")
        self.held = False
        self.disk_is_low = False

    def is_shut(self, now: float) -> bool:
        """Whether nothing may leave; `now` is of the loop's clock."""
        return self.held or self.disk_is_low or now >= self.until


class LaneRules(Struct, frozen=True):
    """Bounds of every call, and of how many there are at once.

    `gather_seconds`: so long a lane lets what comes back gather before it sends anew, where that
    is nothing beside the time of an answer. What leaves together comes back together, and costs
    less by a third; the event loops count in milliseconds.
    """

    timeout_seconds: float = 600.0
    body_bytes_max: int = 32 << 20
    start: int = 2
    ceiling: int = 4096
    gather_seconds: float = 0.001


class Lane:
    """The lines for one model at one upstream."""

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
    ) -> None:
        self._sender, self._head, self._land = sender, head, land
        self._rules, self._gate, self._wall, self._chance = rules, gate, wall, chance
        self._hungry, self._quiet = hungry, quiet
        self._loop = asyncio.get_running_loop()
        self._heads: dict[str, bytes] = {}
        self._queue: deque[Line] = deque()
        self._crossing: dict[Line, Underway] = {}
        self._waiting: set[Line] = set()
        self.width = Width(
            start=rules.start, ceiling=rules.ceiling, timeout_seconds=rules.timeout_seconds
        )
        self.reason: str | None = None
        self._paused_until = 0.0
        self._probing = False
        self._shut_in_row = self._refused_in_row = 0
        self._wake: asyncio.TimerHandle | None = None
        self._pump_is_due = False

    def offer(self, lines: Iterable[Line]) -> None:
        """Take lines; they come back by `land`, unless they are withdrawn."""
        self._queue.extend(lines)

    def pump(self) -> None:
        """Send what may be sent now."""
        now = self._loop.time()
        if now < self._paused_until or self._gate.is_shut(now):
            return
        queue, crossing = self._queue, self._crossing
        room = (1 if self._probing else self.width.limit) - len(crossing)
        send, heads, rules = self._sender.send, self._heads, self._rules
        deadline = now + rules.timeout_seconds
        for line in [queue.popleft() for _ in range(min(room, len(queue)))]:
            line.started = now
            body = line.body
            head = heads.get(line.path) or self._head_of(line)
            crossing[line] = send(
                b"%b%d\r\n\r\n" % (head, len(body)),
                body,
                deadline=deadline if deadline < line.deadline else line.deadline,
                body_bytes_max=rules.body_bytes_max,
                done=self._back,
                ticket=line,
            )
        if len(queue) < self.width.ahead >> 1:
            self._hungry()

    @property
    def paused(self) -> bool:
        """Whether the upstream has asked for silence or gives none of its own accord."""
        return self._probing or self._loop.time() < self._paused_until

    @property
    def held(self) -> int:
        """Lines that are in this lane's hands, wherever they are."""
        return len(self._queue) + len(self._crossing) + len(self._waiting)

    @property
    def appetite(self) -> int:
        """How many more lines the lane would like to have at hand."""
        return self.width.limit + self.width.ahead - len(self._queue) - len(self._crossing)

    @property
    def in_flight(self) -> int:
        """Lines that are at the upstream now."""
        return len(self._crossing)

    def resting(self) -> tuple[set[Line], float]:
        """Lines to be tried again, and before which moment (loop time) nothing is sent."""
        return self._waiting, self._paused_until

    def lines(self) -> Iterator[Line]:
        """All lines in hand."""
        yield from self._queue
        yield from self._crossing
        yield from self._waiting

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        """Take back lines that have not come back; those at the upstream only with `abort`."""
        taken = [line for line in self._queue if wanted(line)]
        if taken:
            gone = set(taken)
            self._queue = deque(line for line in self._queue if line not in gone)
        for line in [line for line in self._waiting if wanted(line)]:
            if line.timer is not None:
                line.timer.cancel()
            self._waiting.discard(line)
            taken.append(line)
        if abort:
            for line in [line for line in self._crossing if wanted(line)]:
                self._crossing.pop(line).cancel()
                taken.append(line)
        self.pump()
        return taken

    def close(self) -> None:
        """Stop for good; no line comes back any more."""
        self.withdraw(lambda _line: True, abort=True)
        if self._wake is not None:
            self._wake.cancel()

    def _head_of(self, line: Line) -> bytes:
        head = self._heads[line.path] = self._head(line.path)
        return head

    def _back(self, line: Line, outcome: Answer | Fault) -> None:
        crossing, width = self._crossing, self.width
        was_full = len(crossing) >= width.limit
        del crossing[line]
        if type(outcome) is Answer and 200 <= outcome.status < 300:
            facts = read_answer(outcome.body)
            if facts is not None and not facts.is_error:
                now = self._loop.time()
                width.answered(now - line.started, full=was_full, now=now)
                self._refused_in_row = 0
                if self._probing:
                    self._open()
                if may_ask_for_pause(outcome.headers):
                    self._heed(outcome)
                landing = Landing(line.index, line.custom_id, line.calls + 1, outcome, facts)
                self._land(line.owner, landing)
                self._pump_soon()
                return
            self._weigh(line, outcome, facts, weigh_status(outcome.status, complete=False))
        elif type(outcome) is Answer:
            self._weigh(line, outcome, None, weigh_status(outcome.status))
        else:
            assert isinstance(outcome, Fault)
            self._weigh(line, outcome, None, weigh_fault(outcome.code, sent=outcome.sent))
        self._pump_soon()

    def _pump_soon(self) -> None:
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
            (self._hungry if self._waiting else self._quiet)()

    def _weigh(
        self,
        line: Line,
        outcome: Answer | Fault,
        facts: AnswerFacts | None,
        verdict: Verdict,
    ) -> None:
        line.calls += 1
        if self._loop.time() >= line.deadline:
            # Its time is over, which says nothing of the upstream; whoever set it takes it back.
            self._waiting.add(line)
            return
        lane_is_to_blame = self._strain(outcome, verdict)
        if verdict.tries_max is not None and not lane_is_to_blame:
            line.tries += 1
            if line.tries >= verdict.tries_max:
                self._land(line.owner, _landing(line, outcome, facts))
                return
        if lane_is_to_blame:
            self._queue.appendleft(line)
            return
        delay = backoff_seconds(max(line.tries, line.calls), self._chance)
        self._waiting.add(line)
        line.timer = self._loop.call_later(delay, self._again, line)

    def _strain(self, outcome: Answer | Fault, verdict: Verdict) -> bool:
        """Note what a failure says of the upstream; True when the line can do nothing for it."""
        if verdict.strain == "down":
            assert isinstance(outcome, Fault)
            self._shut(f"upstream_down: {outcome.detail}")
            return True
        if verdict.strain != "refusing":
            self._shut_in_row = 0
        if type(outcome) is Answer and self._heed(outcome):
            self.width.troubled(self._loop.time())
            return True
        if verdict.strain == "refusing":
            self._refused_in_row += 1
            if self._probing or self._refused_in_row >= _REFUSALS_MAX:
                assert type(outcome) is Answer
                self._shut(f"upstream_refuses: HTTP {outcome.status}")
                return True
            return False
        self._refused_in_row = 0
        if isinstance(outcome, Fault) and outcome.code == "request_timeout":
            self.width.timed_out(self._loop.time())
        elif verdict.strain != "none":
            self.width.troubled(self._loop.time())
        if self._probing and verdict.strain == "none":
            self._open()
        return False

    def _heed(self, answer: Answer) -> bool:
        """Pause as long as the upstream asks; tells whether it asked."""
        asked = asked_pause_seconds(answer.status, answer.headers, self._wall())
        if not asked:
            return False
        self._pause(self._loop.time() + asked, f"upstream_throttling: HTTP {answer.status}")
        return True

    def _shut(self, reason: str) -> None:
        now = self._loop.time()
        if now < self._paused_until:
            return  # Calls that left before the pause began tell nothing new.
        self._probing = True
        first, most = _PROBE_SECONDS
        delay = min(most, first * 2.0 ** min(self._shut_in_row, 10))
        self._shut_in_row += 1
        self._pause(now + delay * (0.75 + self._chance.random() / 4), reason)

    def _open(self) -> None:
        self._probing = False
        self._shut_in_row = 0
        self.reason = None

    def _pause(self, until: float, reason: str) -> None:
        if until <= self._paused_until:
            return
        self._paused_until = until
        self.reason = reason
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._loop.call_at(until, self._resume)

    def _resume(self) -> None:
        self._wake = None
        # Clocks are coarse: a timer may fire a hair before the moment it was set for.
        self._paused_until = 0.0
        if not self._probing:
            self.reason = None
        self.pump()

    def _again(self, line: Line) -> None:
        self._waiting.discard(line)
        line.timer = None
        self._queue.appendleft(line)
        self.pump()


def _landing(line: Line, outcome: Answer | Fault, facts: AnswerFacts | None) -> Landing:
    answer, fault = (outcome, None) if isinstance(outcome, Answer) else (None, outcome)
    if answer is not None and 200 <= answer.status < 300 and facts is None:
        detail = f"HTTP {answer.status} without one complete JSON object as its body"
        answer, fault = None, Fault("invalid_upstream_response", detail, sent=True)
    return Landing(line.index, line.custom_id, line.calls, answer, None, fault)
