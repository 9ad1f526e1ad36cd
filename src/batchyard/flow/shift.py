"""A worker's shift: it takes courses and shards, feeds the lanes, and records what comes back.

Nothing ticks. The shift sleeps until the bell rings (something changed in the store), a lane is
hungry, a shard is done, or the nearest moment it must act by itself has come.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress

from batchyard.flow.feeding import Feeder
from batchyard.flow.keeping import HeldLease, Ledger
from batchyard.flow.recording import Recorder, unwritten, within
from batchyard.flow.reporting import Reporter
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard, Part
from batchyard.flow.space import LOOK_AGAIN_SECONDS, Space
from batchyard.flow.steps import Steps
from batchyard.flow.stop import Stop
from batchyard.flow.tools import ShiftRules, Tools
from batchyard.places.log import log
from batchyard.places.store import in_words, is_full
from batchyard.places.store.rows import LaneRow, Lease, Outlook

__all__ = ["Shift", "unrecorded"]

_STEP_AGAIN_SECONDS = 2.0


class Shift:
    """One worker from the moment it signs on until it signs off or is lost.

    `tell` says to the others that a batch has moved on.
    """

    def __init__(
        self,
        worker: str,
        tools: Tools,
        rules: ShiftRules,
        tell: Callable[[], object] = lambda: None,
    ) -> None:
        self.worker, self._tell = worker, tell
        self._tools, self._rules = tools, rules
        self._wake = asyncio.Event()
        self._rung = True
        # Whether the store may say that this worker has leases it does not know of.
        self._unsure = False
        self._ledger = Ledger(worker, tools.work, tools.blobs)
        self._renewed_until = 0.0
        # When the next batch expires (wall clock), and the next worker is given up (steady).
        self._moments: tuple[int | None, float | None] = (None, None)
        self._faults: tuple[type[Exception], ...] = (OSError, *tools.work.faults)
        # What the lanes land.
        self.recorder = Recorder(
            self._keep,
            delay_seconds=rules.piece_delay_seconds,
            faults=self._faults,
            told=unrecorded,
        )

    def ring(self) -> None:
        """Something changed in the store that this worker did not change itself."""
        self._rung = True
        self._wake.set()

    def hungry(self) -> None:
        """A lane has room for more lines than it has at hand."""
        self._wake.set()

    async def run(self, lanes: Lanes, stop: Stop) -> None:
        """Work until stopped, then give everything back."""
        self._lanes, self._reporter = lanes, Reporter(lanes, self._say)
        self._feeder = Feeder(self.worker, self._tools, self._rules, lanes, self.recorder)
        self._steps = Steps(self.worker, self._tools, lanes.look_around, self._stepped)
        self._space = Space(
            self._tools.free_bytes,
            self._rules.disk_free_bytes_min,
            gate=lanes.gate,
            release=lanes.pump,
        )
        recording = asyncio.create_task(self.recorder.run(lanes.gate, lanes.pump))
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _task: self._wake.set())
        try:
            while stop.reason is None:
                self._wake.clear()
                try:
                    await self._turn()
                except self._faults as fault:
                    # What is in flight goes on and is recorded when that is possible again.
                    log.error("store_unavailable", worker=self.worker, fault=str(fault))
                    self._rung = True
                    await within(stop.wait(), _STEP_AGAIN_SECONDS)
                await self._rest(recording)
            await self._leave()
        finally:
            stopping.cancel()
            recording.cancel()
            self._lanes.close()
            await self._steps.cancel()
            await asyncio.gather(stopping, recording, return_exceptions=True)
            self._ledger.close()

    async def _turn(self) -> None:
        await self._renew()
        if self._unsure:
            places = [held.place for held in self._feeder.held]
            await self._tools.hot.run(self._tools.work.release_all_but, self.worker, places)
            self._unsure = False
        if self._rung:
            self._rung = False
            self._feeder.ring()
            outlook = await self._look()
            await self._steps.take(outlook.courses)
            await self._end_batches()
            self._moments = outlook.next_expiry, outlook.next_death
        # What was leased when this fails is held in the store, but not here.
        self._unsure = True
        await self._feeder.feed(may_lease=not self._space.is_low())
        self._unsure = False
        await self._reporter.report(self._tools.clock.wall())

    async def _look(self) -> Outlook:
        work, clock, run = self._tools.work, self._tools.clock, self._tools.hot.run
        outlook = await run(work.look, int(clock.wall()))
        if outlook.next_death is None or outlook.next_death > clock.steady():
            return outlook
        # Whoever died holds something that is due now.
        await run(work.bury, clock.steady())
        return await run(work.look, int(clock.wall()))

    async def _say(self, rows: Sequence[LaneRow]) -> None:
        await self._tools.hot.run(self._tools.work.say_lanes, self.worker, rows)

    # Leases

    async def _renew(self) -> None:
        clock, run = self._tools.clock, self._tools.hot.run
        if clock.steady() < self._renewed_until - self._rules.lease_seconds * 2 / 3:
            return
        if self._renewed_until == 0.0 or not await run(self._prolong):
            held = list(self._feeder.held)
            lost = await run(self._sign_on, [one.lease for one in held])
            if held:
                # Others took us for dead: what they have leased since is theirs now.
                log.warning(
                    "worker_was_given_up", worker=self.worker, shards=len(held), lost=len(lost)
                )
                self._abandon([one for one in held if one.place in lost])
        # A worker that was frozen must not send before it has looked at its lease.
        left = self._renewed_until - clock.steady()
        self._lanes.gate.until = asyncio.get_running_loop().time() + left
        self._lanes.pump()

    def _prolong(self) -> bool:
        # The time is taken when it is written: this call may have waited long for its turn.
        self._renewed_until = self._tools.clock.steady() + self._rules.lease_seconds
        return self._tools.work.renew(self.worker, self._renewed_until)

    def _sign_on(self, leases: Sequence[Lease]) -> set[tuple[str, int]]:
        self._renewed_until = self._tools.clock.steady() + self._rules.lease_seconds
        self._tools.work.sign_on(self.worker, self._renewed_until)
        return self._tools.work.take_back(self.worker, leases)

    def _abandon(self, leases: list[HeldLease]) -> None:
        lost = set(leases)
        self._lanes.withdraw(lambda line: line.owner in lost, abort=True)
        self.recorder.drop(leases)
        self._feeder.drop(lost)

    # Courses

    async def _stepped(self, batch_id: str) -> None:
        self._tell()
        with suppress(OSError):
            await self._tools.hot.run(self._ledger.close_batch, batch_id)
        self.ring()

    async def _end_batches(self) -> None:
        """Take back the lines of batches that are cancelled, paused, or over their time."""
        tools = self._tools
        ids = {held.lease.batch_id for held in self._feeder.held}
        if not ids:
            return
        halted = await tools.hot.run(tools.work.halted, ids)
        wall, steady = tools.clock.wall(), tools.clock.steady()
        expired = {h.lease.batch_id for h in self._feeder.held if h.lease.expires_at <= wall}
        for held in self._feeder.held:
            if (ending := halted.get(held.lease.batch_id)) is not None:
                # In a pause, what is at the upstream may take as long as it takes.
                grace = self._rules.cancel_grace_seconds if ending else math.inf
                held.end_by(min(held.abort_at or math.inf, steady + grace))
            if held.lease.batch_id in expired:
                held.end_by(steady)
        await self._take_back(steady)

    async def _take_back(self, steady: float) -> None:
        ending = {held for held in self._feeder.held if held.abort_at is not None}
        late = {held for held in ending if held.abort_at is not None and held.abort_at <= steady}
        if late:
            self._lanes.withdraw(lambda line: line.owner in late, abort=True)
        if ending:
            self._feeder.hold_back(ending)
            self._lanes.withdraw(lambda line: line.owner in ending, abort=False)
        crossing = self._lanes.owners()
        done = [held for held in ending if held not in crossing]
        # While nothing can be recorded, what has come for them is not given away: leases are
        # renewed meanwhile, and the next commit group rings.
        if done and self.recorder.fault is None:
            await self._give_back(done)

    async def _give_back(self, leases: list[HeldLease]) -> None:
        await self.recorder.drained()
        still = [held for held in leases if held in self._feeder.held]
        keys = [held.place for held in still]
        # First: what is no longer held here, but in the store, would keep its batch from ending.
        await self._tools.hot.run(self._tools.work.release, self.worker, keys)
        self._feeder.drop(still)
        self._rung = True
        self._wake.set()

    def quiet(self) -> None:
        """A lane has no line in hand any more: what has come need not wait."""
        self.recorder.hurry()
        self._wake.set()

    async def _keep(self, piece: dict[HeldShard, Part]) -> None:
        leases = {held: part for held, part in piece.items() if isinstance(held, HeldLease)}
        now = int(self._tools.clock.wall())
        lost = await self._tools.hot.run(self._ledger.keep, leases, now)
        if lost:
            results = sum(leases[one].tally.results for one in lost)
            log.warning("leases_lost", worker=self.worker, shards=len(lost), results=results)
            self._abandon(lost)
        done = {held for held, part in leases.items() if part.remaining == 0} - set(lost)
        self._feeder.drop(done)
        # No batch ends while one of its shards is held.
        left = {held.lease.batch_id for held in done} - {
            held.lease.batch_id for held in self._feeder.held
        }
        if left or any(held.abort_at is not None or held.lease.budgeted for held in leases):
            self.ring()
        if self._space.is_low() or self._feeder.awaits(leases):
            self._wake.set()
        # The piece is recorded: whatever happens now must not have it recorded again.
        with suppress(*self._faults):
            await self._feeder.note_sent()

    # Rest and leave

    async def _rest(self, recording: asyncio.Task[None]) -> None:
        if recording.done():
            recording.result()
        wait = self._rest_seconds()
        waker = asyncio.create_task(self._wake.wait())
        done, _ = await asyncio.wait(
            (waker, recording), timeout=wait, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self._rung = True
        waker.cancel()

    def _rest_seconds(self) -> float:
        """How long nothing needs this worker, as far as could be known at the last bell."""
        wall, steady = self._tools.clock.wall(), self._tools.clock.steady()
        moments = [self._renewed_until - self._rules.lease_seconds * 2 / 3 - steady]
        moments += [
            held.abort_at - steady for held in self._feeder.held if held.abort_at is not None
        ]
        expiry, death = self._moments
        if (due_at := self._reporter.due_at) is not None:
            moments.append(due_at - asyncio.get_running_loop().time())
        if (due_at := self._feeder.due_at) is not None:
            moments.append(due_at - asyncio.get_running_loop().time())
        if expiry is not None:
            moments.append(expiry - wall)
        if death is not None:
            moments.append(death - steady)
        if self._lanes.gate.disk_is_low:
            moments.append(LOOK_AGAIN_SECONDS)
        return max(0.001, min(moments))

    async def _leave(self) -> None:
        """Give back what has not left, let the rest land for a while, keep what has come."""
        self._lanes.withdraw(lambda _line: True, abort=False)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._rules.leave_grace_seconds
        while self._lanes.in_flight and loop.time() < until:
            self._wake.clear()
            await within(self._wake.wait(), until - loop.time())
            self._lanes.withdraw(lambda _line: True, abort=False)
        self._lanes.withdraw(lambda _line: True, abort=True)
        await self._steps.finished(1.0)
        await self.recorder.drained()
        try:
            await self._tools.hot.run(self._tools.work.sign_off, self.worker)
        except self._faults as fault:
            # What it held is free when its server buries it, or its lease is over.
            log.error("worker_not_signed_off", worker=self.worker, fault=str(fault))


def unrecorded(fault: Exception) -> str:
    """Why results are not recorded, with the code of the reason: of a disk, or of the database."""
    if isinstance(fault, OSError):
        return unwritten(fault)
    code = "disk_low" if is_full(fault) else "store_unavailable"
    return f"{code}: results cannot be written: {in_words(fault)}"
