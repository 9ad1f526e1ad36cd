"""Shards that were lost with their workers: their lines leave in groups that are noted before.

When the worker dies, the noted group is suspected, and the next one is a part of it. A line that is
a group of its own is sent at once, and no other group of its worker is out meanwhile: if the worker
dies then again and again, it is this line. Groups that come back grow, so that innocent lines lose
a few moments and nothing else.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable

from batchyard.flow.keeping import HeldLease
from batchyard.flow.lanes import Line
from batchyard.rules.blame import first_group, next_group

__all__ = ["Trials"]


class _Trial:
    """A watched shard: the group of its lines that is out, and the lines that are not."""

    def __init__(self, held: HeldLease, lines: Iterable[Line]) -> None:
        self.rest = deque(lines)
        self.group: list[Line] = []
        unanswered = sum(1 << line.index for line in self.rest)
        suspects = held.lease.suspects
        mask = None if suspects is None else int.from_bytes(suspects, "little")
        self.size = first_group(mask, unanswered)
        if mask is not None:
            # The suspects first; the sort is stable.
            self.rest = deque(sorted(self.rest, key=lambda line: not mask >> line.index & 1))

    @property
    def next_size(self) -> int:
        """How many lines the next group has."""
        return min(self.size, len(self.rest))

    def is_out(self, held: HeldLease) -> bool:
        """Whether lines of the group have not come back."""
        return any(held.lacks(line.index) for line in self.group)


class Trials:
    """The watched shards of one worker.

    `note` makes a group durable (None: there is none) and returns False where the lease is lost.
    `offer` takes a group to the lanes; `send_now` sends one line at once, or returns False.
    """

    def __init__(
        self,
        note: Callable[[HeldLease, bytes | None], Awaitable[bool]],
        offer: Callable[[HeldLease, list[Line]], object],
        send_now: Callable[[HeldLease, Line], bool],
    ) -> None:
        self._note, self._offer, self._send_now = note, offer, send_now
        self._trials: dict[HeldLease, _Trial] = {}
        # The shard whose single line is out.
        self._alone: HeldLease | None = None
        # A single line could not be sent when it was due: it is to be tried again soon.
        self.is_waiting = False

    def __contains__(self, held: object) -> bool:
        return held in self._trials

    @property
    def lines(self) -> int:
        """Lines that are held back."""
        return sum(len(one.rest) for one in self._trials.values())

    def add(self, held: HeldLease, lines: Iterable[Line]) -> None:
        """Watch a shard; its lines leave with the next steps."""
        self._trials[held] = _Trial(held, lines)

    def drop(self, shards: Collection[HeldLease]) -> None:
        """Forget what is held back of shards that are given back or lost."""
        for held in shards:
            self._trials.pop(held, None)
            if self._alone is held:
                self._alone = None

    async def step(self) -> None:
        """Let the next group of each shard leave whose last one has come back.

        A single line waits for the groups that are out, and no group leaves beside it.
        """
        self.is_waiting = False
        ready = [held for held, trial in self._trials.items() if self._is_ready(held, trial)]
        alone = [held for held in ready if self._trials[held].next_size == 1]
        for held in alone:
            if any(trial.group for trial in self._trials.values()):
                return
            await self._send_alone(held)
        if self._alone is not None:
            return
        for held in ready:
            if held in self._trials and self._trials[held].next_size > 1:
                await self._send_group(held, self._trials[held])

    def _is_ready(self, held: HeldLease, trial: _Trial) -> bool:
        """Whether the next group may leave; what has come back is taken note of."""
        if trial.is_out(held):
            return False
        if trial.group:
            trial.group, trial.size = [], next_group(trial.size)
            if self._alone is held:
                self._alone = None
        return True

    async def _send_group(self, held: HeldLease, trial: _Trial) -> None:
        group = [trial.rest.popleft() for _ in range(trial.next_size)]
        has_left = False
        try:
            if await self._note(held, _mask(group, held)) and held in self._trials:
                trial.group, has_left = group, True
                self._offer(held, group)
        finally:
            if not has_left:
                trial.rest.extendleft(reversed(group))

    async def _send_alone(self, held: HeldLease) -> None:
        trial = self._trials.get(held)
        if trial is None:
            return
        line = trial.rest.popleft()
        trial.group = [line]
        try:
            if await self._note(held, _mask([line], held)):
                if held in self._trials and self._send_now(held, line):
                    self._alone = held
                    return
                # It has not left, so nobody may say that it had.
                await self._note(held, None)
        finally:
            if self._alone is not held:
                trial.group = []
                trial.rest.appendleft(line)
                self.is_waiting = True


def _mask(lines: Iterable[Line], held: HeldLease) -> bytes:
    return sum(1 << line.index for line in lines).to_bytes((held.lines + 7) // 8, "little")
