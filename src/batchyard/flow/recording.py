"""Results become durable together: a piece of a few hundred milliseconds at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from batchyard.flow.lanes import Gate
from batchyard.places.log import log
from batchyard.wire.lines import AnswerFacts

__all__ = ["HeldShard", "Part", "Recorder", "Tally", "within"]

# Results that wait beyond this hold all lanes: the disk is slow, or full.
_PENDING_BYTES_MAX = 24 << 20
_RETRY_SECONDS = (0.5, 10.0)


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

    def count(self, facts: AnswerFacts | None, *, calls: int) -> None:
        """Add one result: a success when it has `facts`."""
        self.calls += calls
        if facts is None:
            self.failed += 1
            return
        self.completed += 1
        self.input_tokens += facts.input_tokens
        self.cached_tokens += facts.cached_tokens
        self.output_tokens += facts.output_tokens
        self.reasoning_tokens += facts.reasoning_tokens
        self.total_tokens += facts.total_tokens

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Part:
    """The results of one shard within one piece."""

    __slots__ = ("answered", "error_lines", "output_lines", "remaining", "tally")

    def __init__(self) -> None:
        self.output_lines: list[bytes] = []
        self.error_lines: list[bytes] = []
        self.tally = Tally()
        # The shard's mask and rest with this part; set when the piece is cut off.
        self.answered = 0
        self.remaining = 0

    @property
    def lines(self) -> list[bytes]:
        """All of its results."""
        return self.output_lines + self.error_lines


class HeldShard:
    """A shard in this worker's hands: which of its lines have their answer.

    `answered` is a bit mask, bit i for the shard's i-th line. A line's first result counts; a
    second one is dropped.
    """

    __slots__ = ("answered", "lines", "part", "remaining")

    def __init__(self, lines: int, answered: int, remaining: int) -> None:
        self.lines = lines
        self.answered = answered
        self.remaining = remaining
        self.part: Part | None = None


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
        self._pending: dict[HeldShard, Part] = {}
        self._pending_bytes = 0
        self._filled = asyncio.Event()
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(
        self,
        shard: HeldShard,
        position: int,
        line: bytes,
        facts: AnswerFacts | None,
        *,
        calls: int,
    ) -> None:
        """Take a rendered result; with `facts` it goes to the output, else to the errors."""
        bit = 1 << position
        if shard.answered & bit:
            return
        shard.answered |= bit
        shard.remaining -= 1
        part = shard.part
        if part is None:
            part = shard.part = self._pending[shard] = Part()
            self._filled.set()
        (part.error_lines if facts is None else part.output_lines).append(line)
        part.tally.count(facts, calls=calls)
        self._pending_bytes += len(line)
        if self._pending_bytes >= self._piece_bytes:
            self._due.set()
            if self._pending_bytes > _PENDING_BYTES_MAX:
                self._gate.held = True

    def drop(self, shards: Iterable[HeldShard]) -> None:
        """Forget what is pending for shards that are no longer held."""
        for shard in shards:
            self._pending.pop(shard, None)
            shard.part = None

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
        piece = self._pending
        self._pending, self._pending_bytes = {}, 0
        self._filled.clear()
        self._due.clear()
        for shard, part in piece.items():
            shard.part = None
            part.answered, part.remaining = shard.answered, shard.remaining
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
