"""Results become durable together: a piece of a few hundred milliseconds at a time."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate
from batchyard.flow.shards import HeldShard, Part
from batchyard.places.log import log

__all__ = ["Recorder", "unwritten", "within"]

# Results that wait beyond this hold all lanes: the disk is slow, or full.
_PENDING_BYTES_MAX = 24 << 20
_RETRY_SECONDS = (0.5, 10.0)
# A write that takes longer holds all lanes, too: the process may be killed before it ends.
_SLOW_SECONDS = 2.0
# Answers that are larger are counted by the budget of the lanes until they are recorded.
_LARGE_BYTES = 65_536
# What a result line has around the body of its answer, about.
_AROUND_BYTES = 200


class Recorder:
    """Gathers results and keeps them piece by piece, one piece at a time.

    `keep` makes a piece durable and recorded; while it raises OSError (a full disk), the lanes
    are held and it is tried again, so that no answer that was paid for is lost.
    """

    def __init__(
        self,
        keep: Callable[[dict[HeldShard, Part]], Awaitable[None]],
        *,
        delay_seconds: float = 0.2,
        piece_bytes: int = 2 << 20,
        faults: tuple[type[Exception], ...] = (OSError,),
        told: Callable[[Exception], str] | None = None,
    ) -> None:
        self._keep = keep
        self._delay_seconds, self._piece_bytes = delay_seconds, piece_bytes
        self._faults, self._told = faults, told or unwritten
        # In the order in which their results came; a dict, for sets have no order.
        self._pending: dict[HeldShard, None] = {}
        self._pending_bytes = self._large_bytes = 0
        self._gate, self._release = Gate(), _nothing
        # Why what has landed cannot be recorded, while that is so.
        self.fault: Exception | None = None
        self._filled = asyncio.Event()
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, shard: HeldShard, landing: Landing) -> None:
        """Take how a line came back; the lanes call this, once for each line."""
        if not shard.take(landing):
            return
        if len(shard.landed) == 1:
            self._pending[shard] = None
            self._filled.set()
        size = len(landing.answer.body) if landing.answer is not None else 0
        self._pending_bytes += _AROUND_BYTES + size
        if size > _LARGE_BYTES:
            self._large_bytes += size
            self._gate.budget.hold(size)
        if self._pending_bytes >= self._piece_bytes or shard.is_awaited:
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

    async def run(self, gate: Gate, release: Callable[[], None]) -> None:
        """Record pieces until cancelled; while too much waits for it, `gate` is shut."""
        self._gate, self._release = gate, release
        gate.budget.hold(self._large_bytes)
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
        large_bytes = self._large_bytes
        self._pending, self._pending_bytes, self._large_bytes = {}, 0, 0
        self._filled.clear()
        self._due.clear()
        delay, most = _RETRY_SECONDS
        slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._hold)
        try:
            while True:
                try:
                    await self._keep(piece)
                    break
                except self._faults as fault:
                    self.fault = fault
                    log.error("results_not_recorded", fault=str(fault), again_in_seconds=delay)
                    self._gate.fault = self._told(fault)
                    self._hold()
                    await asyncio.sleep(delay)
                    delay = min(most, delay * 2)
        finally:
            slow.cancel()
        self.fault = self._gate.fault = None
        if large_bytes:
            del piece
            self._gate.budget.recorded(large_bytes)
        if self._gate.held and self._pending_bytes <= _PENDING_BYTES_MAX:
            self._gate.held = False
            self._release()

    def _hold(self) -> None:
        """Let no line leave: what would come back could not be recorded, and might be lost."""
        self._gate.held = True


def unwritten(fault: Exception) -> str:
    """Why results cannot be written to a disk, with the code of the reason before it."""
    why = getattr(fault, "strerror", None) or fault
    is_read_only = getattr(fault, "errno", None) == errno.EROFS
    code = "disk_read_only" if is_read_only else "disk_low"
    return f"{code}: results cannot be written: {why}"


async def within(event: Awaitable[object], seconds: float) -> None:
    """Wait for an event, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        pass


def _nothing() -> None:
    pass
