"""Whose line a worker sends next.

Projects that have lines for one model share it equally, however many batches they have. Within a
project the highest priority goes first. Within one priority batches have equal turns, but one that
may miss its window has many for each of the others'.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import groupby
from typing import Generic, Protocol, TypeVar

__all__ = ["PRIORITY_RANGE", "deal", "is_urgent"]

# (least, most) of `priority`; 0 unless asked for.
PRIORITY_RANGE = (-100, 100)
# A batch is urgent when it would need more than one part in so many of the time it has left, if all
# that is sent were its lines. It then has so many turns where another of its priority has one.
_URGENT_PARTS, _URGENT_TURNS = 4, 16
# Into so many turns what is wanted is cut at most, about.
_TURNS_MAX = 512


class Claim(Protocol):
    """A batch with lines for one model that can be sent."""

    @property
    def project_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def priority(self) -> int:
        """What goes before others of its project; the highest first."""
        ...

    @property
    def urgent(self) -> bool:
        """Whether it may miss its window."""
        ...

    @property
    def expires_at(self) -> int:
        """End of the window, Unix seconds."""
        ...

    @property
    def sequence(self) -> int:
        """The order of creation."""
        ...

    @property
    def lines(self) -> int:
        """Lines that wait."""
        ...

    @property
    def out(self) -> int:
        """Lines that are in the lanes already."""
        ...


C = TypeVar("C", bound=Claim)


def is_urgent(
    lines: int, seconds_left: float, *, lines_per_second: float, answer_seconds: float
) -> bool:
    """Whether a batch with so many lines left may miss its window without more than its turns.

    `lines_per_second` is what its model answers in all, `answer_seconds` how long one takes.
    """
    return (lines / lines_per_second + answer_seconds) * _URGENT_PARTS > seconds_left


def deal(claims: Sequence[C], want: int) -> list[C]:
    """Whose lines are sent next, line by line: `want` of them, or all that wait.

    What a project or batch has in the lanes already counts as turns it has had.
    """
    waiting = [claim for claim in claims if claim.lines > 0]
    if len(waiting) == 1:
        return [waiting[0]] * min(want, waiting[0].lines)
    out: dict[str, int] = {}
    for claim in claims:
        out[claim.project_id] = out.get(claim.project_id, 0) + claim.out
    waiting.sort(key=lambda claim: claim.project_id)
    projects = [
        (out[id], number, _Turns(found))
        for number, (id, found) in enumerate(groupby(waiting, lambda claim: claim.project_id))
    ]
    heapify(projects)
    dealt: list[C] = []
    # Of many lines several go in one turn: where so many are wanted, they are gone in a moment.
    most = max(1, want // _TURNS_MAX)
    while projects and len(dealt) < want:
        had, number, turns = projects[0]
        lines = turns.next(min(most, want - len(dealt)))
        if not lines:
            heappop(projects)
            continue
        dealt += lines
        heapreplace(projects, (had + len(lines), number, turns))
    return dealt


class _Turns(Generic[C]):
    """The turns of one project's batches."""

    def __init__(self, claims: Iterable[C]) -> None:
        ordered = sorted(claims, key=lambda one: (-one.priority, one.expires_at, one.sequence))
        self._tiers = [list(tier) for _, tier in groupby(ordered, lambda one: one.priority)]
        self._tiers.reverse()
        self._heap: list[tuple[float, int, int, C]] = []

    def next(self, most: int) -> list[C]:
        """The batch whose turn it is, for each line; nothing when no line waits."""
        if not self._heap:
            if not self._tiers:
                return []
            for number, one in enumerate(self._tiers.pop()):
                heappush(self._heap, (one.out / _turns(one), number, one.lines, one))
        had, number, lines, one = self._heap[0]
        taken = min(most, lines)
        if lines > taken:
            heapreplace(self._heap, (had + taken / _turns(one), number, lines - taken, one))
        else:
            heappop(self._heap)
        return [one] * taken


def _turns(claim: Claim) -> int:
    return _URGENT_TURNS if claim.urgent else 1
