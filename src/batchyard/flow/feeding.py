"""Feeds the lanes of a worker: leases shards, reads their lines, and notes which are out."""

import asyncio
from collections.abc import Collection, Iterable

from batchyard.flow.drawing import Turn, draw
from batchyard.flow.keeping import HeldLease
from batchyard.flow.landing import written_off
from batchyard.flow.recording import Recorder
from batchyard.flow.routing import Lanes
from batchyard.flow.source import sound_lines
from batchyard.flow.tools import ShiftRules, Tools
from batchyard.flow.trials import Trials
from batchyard.places.log import log
from batchyard.places.store.rows import Lease
from batchyard.places.store.workers import WATCHED_FROM
from batchyard.rules.blame import LOSSES_FORGOTTEN_SECONDS, guilty
from batchyard.rules.schedule import share
from batchyard.rules.settle import FILE_CORRUPT, WORKER_LOST

__all__ = ["Feeder"]

# Input bytes of leased shards, at most; one shard is taken in any case.
_HELD_BYTES_MAX = 48 << 20
_SHARDS_AT_ONCE_MAX = 8
# The store hears which shards have lines out when that has changed, but no oftener than this. What
# is still so is said again sometimes, for a loss counts from when it was last said.
_NOTE_SECONDS, _NOTE_AGAIN_SECONDS = 1.0, 300
_WAITING_SECONDS = 1.0


class Feeder:
    """The shards that a worker holds."""

    def __init__(
        self, worker: str, tools: Tools, rules: ShiftRules, lanes: Lanes, recorder: Recorder
    ) -> None:
        self._worker, self._tools, self._rules = worker, tools, rules
        self._lanes, self._recorder = lanes, recorder
        self._loop = asyncio.get_running_loop()
        self.held: set[HeldLease] = set()
        # No shard was free when last looked; only a bell can have changed that.
        self.is_dry = False
        self._trials = Trials(
            self._note_trial,
            lambda held, lines: lanes.offer(held.lease.model, lines),
            lambda held, line: lanes.send_now(held.lease.model, line),
        )
        # What was last said of which shard, and when, in Unix seconds.
        self._noted: dict[HeldLease, tuple[bool, int]] = {}
        self._note_at = 0.0

    @property
    def due_at(self) -> float | None:
        """When there is something to do that nobody calls for, on the loop's clock."""
        moments = []
        if len(self._noted) < len(self.held):
            moments.append(self._note_at)
        if self._trials.is_waiting:
            moments.append(self._loop.time() + _WAITING_SECONDS)
        return min(moments, default=None)

    def awaits(self, shards: Iterable[HeldLease]) -> bool:
        """Whether what came back of these shards lets other lines leave."""
        return any(held in self._trials for held in shards)

    def drop(self, shards: Collection[HeldLease]) -> None:
        """Forget shards that are done, given back or lost; what the lanes have is not touched."""
        self.held.difference_update(shards)
        self._trials.drop(shards)
        for held in shards:
            self._noted.pop(held, None)

    def hold_back(self, shards: Collection[HeldLease]) -> None:
        """Let no further line of these shards leave: they are about to be given back."""
        self._trials.drop(shards)

    async def feed(self, *, may_lease: bool) -> None:
        """Let lines leave, and take shards for the lanes that want more."""
        await self._trials.step()
        if may_lease:
            await self._lease()
        await self.note_sent()

    async def note_sent(self) -> None:
        """Tell the store which shards have lines at the upstream, if that has changed."""
        loop_now = self._loop.time()
        if loop_now < self._note_at or not self.held:
            return
        now = int(self._tools.clock.wall())
        out = self._lanes.owners_in_flight()
        changed = {}
        for held in self.held:
            is_out = held in out
            said, said_at = self._noted.get(held, (None, 0))
            if said is not is_out or (is_out and now - said_at >= _NOTE_AGAIN_SECONDS):
                changed[held] = is_out
        self._note_at = loop_now + _NOTE_SECONDS
        if not changed:
            return
        rows = {held.place: is_out for held, is_out in changed.items()}
        await self._tools.hot.run(self._tools.work.note_sent, self._worker, rows, now)
        for held, is_out in changed.items():
            if held in self.held:
                self._noted[held] = is_out, now

    async def _note_trial(self, held: HeldLease, lines: bytes | None) -> bool:
        now = int(self._tools.clock.wall())
        note = self._tools.work.note_trial
        return await self._tools.hot.run(note, self._worker, held.lease, lines, now)

    async def _lease(self) -> None:
        tools = self._tools
        room = self._rules.lines_held_max - self._lanes.held - self._trials.lines
        if self.is_dry or room <= 0 or self._held_bytes() >= _HELD_BYTES_MAX:
            return
        now = int(tools.clock.wall())
        free = await tools.hot.run(tools.work.waiting, now)
        self.is_dry = not free
        shares = share(
            free,
            self._lanes.appetite,
            room=room,
            shard_lines=tools.limits.shard_lines,
            shards_max=_SHARDS_AT_ONCE_MAX,
        )
        turns = [Turn(one.batch_id, one.model, shards) for one, shards in shares]
        if not turns:
            return
        drawn = await tools.hot.run(self._draw, turns, now)
        for lease, span, guilty_index in drawn:
            self._load(lease, span, guilty_index)
        await self._trials.step()
        self._lanes.pump()

    def _draw(
        self, turns: Iterable[Turn], now: int
    ) -> list[tuple[Lease, bytes | None, int | None]]:
        """Lease and read, and begin the count anew where the guilty line of a shard is known."""
        work, since = self._tools.work, now - LOSSES_FORGOTTEN_SECONDS
        drawn = draw(
            work,
            self._tools.blobs,
            self._worker,
            turns,
            now,
            losses_since=since,
            watched_from=WATCHED_FROM,
        )
        found = []
        for lease, span in drawn:
            index = self._guilty(lease)
            if index is not None:
                work.absolve(lease)
            found.append((lease, span, index))
        return found

    def _guilty(self, lease: Lease) -> int | None:
        suspects = None if lease.suspects is None else int.from_bytes(lease.suspects, "little")
        answered = int.from_bytes(lease.answered, "little")
        unanswered = ~answered & ((1 << lease.lines) - 1)
        return guilty(suspects, unanswered, lease.losses, self._rules.losses_max)

    def _held_bytes(self) -> int:
        return sum(held.lease.size_bytes * held.remaining // held.lines for held in self.held)

    def _load(self, lease: Lease, span: bytes | None, guilty_index: int | None) -> None:
        held = HeldLease(lease)
        self.held.add(held)
        lines = span and sound_lines(held, span, self._deadline(lease))
        if not lines:
            missing = [index for index in range(held.lines) if held.lacks(index)]
            self._give_up(held, [(index, None) for index in missing], FILE_CORRUPT)
            return
        given_up = [line for line in lines if line.index == guilty_index]
        if given_up:
            ids = [(line.index, line.custom_id) for line in given_up]
            self._give_up(held, ids, WORKER_LOST)
            lines.remove(given_up[0])
        if lease.losses >= WATCHED_FROM and not given_up:
            self._trials.add(held, lines)
        else:
            self._lanes.offer(lease.model, lines)

    def _give_up(
        self, held: HeldLease, lines: Iterable[tuple[int, str | None]], why: tuple[str, str]
    ) -> None:
        lease, lines = held.lease, list(lines)
        log.error(
            "lines_given_up",
            batch=lease.batch_id,
            shard=lease.position,
            lines=len(lines),
            why=why[0],
        )
        for index, custom_id in lines:
            self._recorder.add(held, written_off(index, custom_id, *why))
        self._recorder.hurry()

    def _deadline(self, lease: Lease) -> float:
        return self._loop.time() + lease.expires_at - self._tools.clock.wall()
