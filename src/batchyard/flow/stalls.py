"""Calls that hang: they lose their place in the lane, and their lines are asked a second time."""

import asyncio
from collections.abc import Callable

from batchyard.flow.in_hand import LinesInHand
from batchyard.flow.line import Line
from batchyard.flow.sending import Underway

__all__ = ["Stalls"]

# A call hangs that is out for longer than the first, and so many times as long as answers take.
_PATIENCE_SECONDS, _PATIENCE_FACTOR = 30.0, 10.0
# A call does not hang either that is out for less than so many times the slowest answer that was
# waited for. Each quicker answer that comes meanwhile makes that count for less, by this share.
_SLOWEST_FACTOR, _SLOWEST_KEPT = 2.0, 0.9


class Stalls:
    """Watches the oldest calls of a lane.

    Where a later call was answered, one that hangs is asked again, and its place is free for
    others. Where nothing is answered at all, one line is asked again on a new connection: only its
    answer shows that the others hang, and are not merely slow. The first whole answer counts.
    """

    def __init__(
        self,
        hand: LinesInHand,
        again: Callable[[Line], Underway],
        *,
        answer_seconds: Callable[[], float],
        may_send: Callable[[], bool],
        stirred: Callable[[], None],
    ) -> None:
        self._hand, self._again = hand, again
        self._answer_seconds, self._may_send, self._stirred = answer_seconds, may_send, stirred
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # When the latest call that was answered had left.
        self._answered_started = 0.0
        # Second calls that were answered while the first was not.
        self._won = 0
        # How long the slowest answer took of those that came while calls were out for too long.
        self._slowest_seconds = 0.0
        self.hanging: set[Line] = set()
        self._is_overdue = False

    @property
    def is_busy(self) -> bool:
        """Whether any call is out for too long."""
        return self._is_overdue or bool(self.hanging or self._hand.seconds)

    @property
    def is_watching(self) -> bool:
        """Whether a moment is set to look at the calls."""
        return self._timer is not None

    @property
    def patience_seconds(self) -> float:
        """How long a call may be out."""
        usual = self._answer_seconds() * _PATIENCE_FACTOR
        return max(_PATIENCE_SECONDS, usual, self._slowest_seconds * _SLOWEST_FACTOR)

    def watch(self) -> None:
        """Look at the calls when the oldest has been out for too long."""
        moment = self._loop.time() + self.patience_seconds
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._on_time)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self, line: Line) -> None:
        """A line was answered while others are out for too long."""
        self._answered_started = max(self._answered_started, line.started)
        self.hanging.discard(line)
        second = self._hand.seconds.pop(line, None)
        if second is not None:
            second.cancel()
        if self._is_overdue:
            took = self._loop.time() - line.started
            self._slowest_seconds = max(took, self._slowest_seconds * _SLOWEST_KEPT)
            self.look()

    def won(self, line: Line) -> None:
        """The second call of a line was answered, and the first was not."""
        self._won += 1
        self._slowest_seconds /= 2
        self.hanging.discard(line)

    def forget(self, line: Line) -> None:
        """A line came back without an answer."""
        self.hanging.discard(line)

    def _on_time(self) -> None:
        self._timer = None
        if self._may_send():
            self.look()
        elif self._hand.crossing:
            self.watch()
        self._stirred()

    def look(self) -> None:
        """Ask lines again whose calls hang, some more each time that this was right."""
        now, patience = self._loop.time(), self.patience_seconds
        crossing, seconds = self._hand.crossing, self._hand.seconds
        self.hanging &= crossing.keys()
        overdue: list[Line] = []
        for line in crossing:
            # Clocks are coarse: a timer may fire a hair before the moment it was set for.
            if now - line.started < patience - 0.001:
                if self._timer is None:
                    self._timer = self._loop.call_at(line.started + patience, self._on_time)
                break
            overdue.append(line)
        self._is_overdue = bool(overdue)
        hang = [line for line in overdue if line.started < self._answered_started]
        self.hanging.update(hang)
        asked = [line for line in hang or overdue if line.doubled_at is None]
        room = (1 + self._won if hang else 1) - len(seconds)
        for line in asked[: max(0, room)]:
            line.doubled_at = now
            seconds[line] = self._again(line)
