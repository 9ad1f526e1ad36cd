"""Results become durable together: a piece of a few hundred milliseconds at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import attrgetter

from msgspec import Struct

from batchyard.flow.lanes import Gate, Landing
from batchyard.flow.rendering import render
from batchyard.places.log import log
from batchyard.wire.lines import AnswerFacts

__all__ = ["HeldShard", "Part", "Recorder", "Tally", "within"]

# Results that wait beyond this hold all lanes: the disk is slow, or full.
_PENDING_BYTES_MAX = 24 << 20
_RETRY_SECONDS = (0.5, 10.0)
_TOKENS = {name: attrgetter(name) for name in AnswerFacts.__struct_fields__ if name != "is_error"}
_ANSWERED = ord("1")
# What a result line has around the body of its answer, about.
_AROUND_BYTES = 200


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
        self.input_tokens += facts.input_tokens
        self.cached_tokens += facts.cached_tokens
        self.output_tokens += facts.output_tokens
        self.reasoning_tokens += facts.reasoning_tokens
        self.total_tokens += facts.total_tokens

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

    There are as many as its tally says. `answered` and `remaining` are the shard's as of then.
    """

    output: bytes
    errors: bytes
    tally: Tally
    answered: int
    remaining: int


class HeldShard:
    """A shard in this worker's hands: which of its lines have their answer.

    `answered` is a bit mask, bit i for the shard's i-th line. A line's first result counts; a
    second one is dropped. `first_index` is the index in the input of its first line, and
    `line_id_prefix` what the ids of its results begin with.
    """

    __slots__ = ("_marks", "first_index", "landed", "line_id_prefix", "remaining")

    def __init__(
        self, lines: int, answered: int, remaining: int, *, first_index: int, line_id_prefix: str
    ) -> None:
        self.remaining = remaining
        self.first_index = first_index
        self.line_id_prefix = line_id_prefix
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
        return Part(output, errors, Tally.of(landed), self.answered, self.remaining)


class Recorder:
    """Gathers results and keeps them piece by piece, one piece at a time.

    `keep` makes a piece durable and recorded; while it raises OSError (a full disk), the lanes
    are held and it is tried again, so that no answer that was paid for is lost.
    """

    def __init__(
        self,
        keep: Callable[[dict[HeldShard, Part]], Awaitable[None]],
        *,
        gate: Gate,
        release: Callable[[], None],
        delay_seconds: float = 0.2,
        piece_bytes: int = 2 << 20,
        faults: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        self._keep, self._gate, self._release = keep, gate, release
        self._delay_seconds, self._piece_bytes = delay_seconds, piece_bytes
        self._faults = faults
        # In the order in which their results came; a dict, for sets have no order.
        self._pending: dict[HeldShard, None] = {}
        self._pending_bytes = 0
        self._filled = asyncio.Event()
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, shard: HeldShard, landing: Landing) -> None:
        """Take a result; it is rendered with the others of its piece."""
        if not shard.take(landing):
            return
        if len(shard.landed) == 1:
            self._pending[shard] = None
            self._filled.set()
        answer = landing.answer
        self._pending_bytes += _AROUND_BYTES + (len(answer.body) if answer is not None else 0)
        if self._pending_bytes >= self._piece_bytes:
            self._due.set()
            if self._pending_bytes > _PENDING_BYTES_MAX:
                self._gate.held = True

    def drop(self, shards: Iterable[HeldShard]) -> None:
        """Forget what is pending for shards that are no longer held."""
        for shard in shards:
            self._pending.pop(shard, None)
            shard.landed = []

    def hurry(self) -> None:
        """Do not wait for more results: nothing is under way that could bring them."""
        self._due.set()

    async def drained(self) -> None:
        """Wait until all that was added is recorded."""
        while self._pending or not self._idle.is_set():
            self._due.set()
            await self._idle.wait()
            await asyncio.sleep(0)

    async def run(self) -> None:
        """Record pieces until cancelled."""
        while True:
            await self._filled.wait()
            if not self._due.is_set():
                await within(self._due.wait(), self._delay_seconds)
            self._idle.clear()
            try:
                await self._record()
            finally:
                self._idle.set()

    async def _record(self) -> None:
        piece = {shard: shard.cut() for shard in self._pending}
        self._pending, self._pending_bytes = {}, 0
        self._filled.clear()
        self._due.clear()
        delay, most = _RETRY_SECONDS
        while True:
            try:
                await self._keep(piece)
                break
            except self._faults as fault:
                log.error("results_not_recorded", fault=str(fault), again_in_seconds=delay)
                self._gate.held = True
                await asyncio.sleep(delay)
                delay = min(most, delay * 2)
        if self._gate.held and self._pending_bytes <= _PENDING_BYTES_MAX:
            self._gate.held = False
            self._release()


async def within(event: Awaitable[object], seconds: float) -> None:
    """Wait for an event, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        pass
