"""The lines in a lane's hands: those in its queue, at the upstream, and waiting for another try."""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random

from batchyard.flow.line import Line
from batchyard.flow.sending import Underway

__all__ = ["LinesInHand"]

# So many places of the queue are looked at for a line that was not tried yet.
_LOOKS = 8


class LinesInHand:
    """Lines of one lane, each in one of three places; the lane moves them.

    A line at the upstream has a call, and a second one where the first hangs.
    """

    def __init__(self) -> None:
        self.queue: deque[Line] = deque()
        self.crossing: dict[Line, Underway] = {}
        self.seconds: dict[Line, Underway] = {}
        self.waiting: dict[Line, None] = {}

    def __len__(self) -> int:
        return len(self.queue) + len(self.crossing) + len(self.waiting)

    def __iter__(self) -> Iterator[Line]:
        yield from self.queue
        yield from self.crossing
        yield from self.waiting

    @property
    def has_fresh(self) -> bool:
        """Whether any line has not failed yet, as far as this lane knows."""
        return any(line.trouble is None for line in self.queue) or any(
            line.trouble is None for line in self.crossing
        )

    @property
    def has_untried(self) -> bool:
        """Whether any line was never sent."""
        return any(not line.calls for line in self.queue)

    def rest(self, line: Line) -> None:
        """Take a line out of the waiting ones, wherever it goes next."""
        self.waiting.pop(line, None)
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None

    def all_to_queue(self, now: float) -> None:
        """End all waiting, but that of lines whose time is over."""
        for line in list(self.waiting):
            if not _is_over(line, now):
                self.rest(line)
                self.queue.append(line)

    def cancel(self, line: Line) -> None:
        """Give up the calls of a line."""
        for calls in (self.crossing, self.seconds):
            if (underway := calls.pop(line, None)) is not None:
                underway.cancel()

    def take_probe(self, chance: Random, now: float) -> Line | None:
        """Take a line to see whether the upstream answers: one that was tried least.

        None whose time is over is taken; it stays until whoever set its time takes it back.
        Places are drawn by lot, so that all batches and both ends of the queue have their turn.
        """
        queue = self.queue
        if queue:
            places = [chance.randrange(len(queue)) for _ in range(_LOOKS)]
            place = min(places, key=lambda at: queue[at].calls)
            line = queue[place]
            del queue[place]
            if not _is_over(line, now):
                return line
            self.waiting[line] = None
        in_time = [line for line in self.waiting if not _is_over(line, now)]
        if not in_time:
            return None
        line = min(in_time, key=lambda one: (one.calls, one.index))
        self.rest(line)
        return line

    def recall(self) -> list[Line]:
        """Take the lines that were never sent out of the queue."""
        taken = [line for line in self.queue if not line.calls]
        kept = [line for line in self.queue if line.calls]
        self.queue.clear()
        self.queue.extend(kept)
        return taken

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        """Take out lines; those at the upstream only with `abort`."""
        taken = [line for line in self.queue if wanted(line)]
        if taken:
            gone = set(taken)
            kept = [line for line in self.queue if line not in gone]
            self.queue.clear()
            self.queue.extend(kept)
        for line in [line for line in self.waiting if wanted(line)]:
            self.rest(line)
            taken.append(line)
        if abort:
            for line in [line for line in self.crossing if wanted(line)]:
                self.cancel(line)
                taken.append(line)
        return taken


def _is_over(line: Line, now: float) -> bool:
    # Clocks are coarse: the end of its time may be told a hair before it.
    return now >= line.deadline - 0.001
