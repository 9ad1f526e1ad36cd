"""Shards in hand: which of their lines have come back, and what that adds up to."""

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from batchyard.flow.failure_counts import count_failures
from batchyard.flow.landing import Landing
from batchyard.flow.rendering import render
from batchyard.wire.lines import AnswerFacts
from batchyard.wire.objects import FailureCount

__all__ = ["HeldShard", "Part", "Tally"]

_TOKENS = {name: attrgetter(name) for name in AnswerFacts.__struct_fields__ if name != "is_error"}
_ANSWERED = ord("1")


class Tally(Struct):
    """What a run of results adds up to; counted here and nowhere else."""

    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    calls: int = 0

    @classmethod
    def of(cls, landings: Sequence[Landing]) -> "Tally":
        """What these results add up to."""
        facts = [one.facts for one in landings if one.facts is not None]
        calls = sum([one.calls for one in landings])
        tally = cls(len(facts), len(landings) - len(facts), calls=calls)
        for name, counted in _TOKENS.items():
            setattr(tally, name, sum(map(counted, facts)))
        return tally

    def count(self, facts: AnswerFacts | None) -> None:
        """Add one result that a former run recorded: a success when it has `facts`."""
        if facts is None:
            self.failed += 1
            return
        self.completed += 1
        for name, counted in _TOKENS.items():
            setattr(self, name, getattr(self, name) + counted(facts))

    @property
    def results(self) -> int:
        """How many were counted."""
        return self.completed + self.failed

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Part(Struct, frozen=True):
    """The results of one shard within one piece, as lines of the output and of the error file.

    There are as many as its tally says, and `failures` are the causes of those that failed.
    `answered` and `remaining` are the shard's as of then.
    """

    output: bytes
    errors: bytes
    tally: Tally
    answered: int
    remaining: int
    failures: tuple[FailureCount, ...] = ()


class HeldShard:
    """A shard in this worker's hands: which of its lines have their answer.

    `answered` is a bit mask, bit i for the shard's i-th line. A line's first result counts; a
    second one is dropped. `first_index` is the index in the input of its first line, and
    `line_id_prefix` what the ids of its results begin with. Results of one that `is_awaited` are
    recorded at once, for its batch ends.
    """

    __slots__ = ("_marks", "first_index", "is_awaited", "landed", "line_id_prefix", "remaining")

    def __init__(
        self, lines: int, answered: int, remaining: int, *, first_index: int, line_id_prefix: str
    ) -> None:
        self.remaining = remaining
        self.first_index = first_index
        self.line_id_prefix = line_id_prefix
        self.is_awaited = False
        # Results that belong into the next piece.
        self.landed: list[Landing] = []
        # The digits of the mask, the lowest first: a digit is set faster than a bit of an int.
        self._marks = bytearray(f"{answered:0{lines}b}".encode())[::-1]

    @property
    def lines(self) -> int:
        """How many lines it has, answered or not."""
        return len(self._marks)

    @property
    def answered(self) -> int:
        """The lines that have their answer, as a bit mask."""
        return int(self._marks[::-1], 2)

    def lacks(self, position: int) -> bool:
        """Whether this line has no answer yet."""
        return self._marks[position] != _ANSWERED

    def take(self, landing: Landing) -> bool:
        """Take a line's result; False where it had one already."""
        marks = self._marks
        if marks[landing.index] == _ANSWERED:
            return False
        marks[landing.index] = _ANSWERED
        self.remaining -= 1
        self.landed.append(landing)
        return True

    def cut(self) -> Part:
        """What has landed since the last cut, in its final form."""
        landed, self.landed = self.landed, []
        output, errors = render(self.line_id_prefix, self.first_index, landed)
        tally = Tally.of(landed)
        failures = count_failures(self.first_index, landed) if tally.failed else ()
        return Part(output, errors, tally, self.answered, self.remaining, failures)
