"""Feeds the lanes of a worker: leases shards, reads their lines, and notes which are out."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from batchyard.flow.drawing import Turn, draw, is_own_fault
from batchyard.flow.keeping import HeldLease
from batchyard.flow.landing import written_off
from batchyard.flow.recording import Recorder
from batchyard.flow.routing import Lanes
from batchyard.flow.sent_notes import SentNotes
from batchyard.flow.shards import HeldShard
from batchyard.flow.source import sound_lines
from batchyard.flow.stock import Claim, Stock
from batchyard.flow.tools import ShiftRules, Tools
from batchyard.flow.trials import Trials
from batchyard.places.log import log
from batchyard.places.store import workers
from batchyard.places.store.rows import Lease, Waiting
from batchyard.rules.blame import guilty
from batchyard.rules.schedule import deal, is_urgent
from batchyard.rules.settle import FILE_CORRUPT, WORKER_LOST

__all__ = ["Feeder"]

# Input bytes of leased shards, at most; one shard is taken in any case.
_HELD_BYTES_MAX = 48 << 20
_SHARDS_AT_ONCE_MAX = 8
# What could not be done when it was due is tried again after so long.
_WAITING_SECONDS = 1.0
# Between two attempts to read an input that cannot be read.
_READ_AGAIN_SECONDS = (1.0, 60.0)
_FINE = (0, 0.0)
# Room for those who have nothing is made no oftener than this.
_MAKE_ROOM_SECONDS = 0.5


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
        self._is_dry = False
        self._is_rung = True
        self._stock = Stock()
        # The batches, with whether they are urgent, that the queues of a model's lanes regard, and
        # the models whose queues are to be filled anew.
        self._regarded: dict[str, frozenset[tuple[str, bool]]] = {}
        self._recalled: set[str] = set()
        # A batch that has a claim to lines, but memory is full of those of others.
        self._crowded_out: Claim | None = None
        self._make_room_at = 0.0
        # Batches whose input could not be read: how often, and when it is tried again.
        self._unreadable: dict[str, tuple[int, float]] = {}
        self._trials = Trials(
            self._note_trial,
            self._stock.add,
            lambda held, line: lanes.send_now(held.lease.model, line),
        )
        self._notes = SentNotes(worker, tools, lanes.owners_leaving)

    @property
    def due_at(self) -> float | None:
        """When there is something to do that nobody calls for, on the loop's clock."""
        moments = [] if (noted_at := self._notes.due_at(self.held)) is None else [noted_at]
        # What is due and cannot be done now is looked at again, but not without pause.
        soon = self._loop.time() + _WAITING_SECONDS
        moments += [max(soon, again_at) for _, again_at in self._unreadable.values()]
        if self._trials.is_waiting:
            moments.append(soon)
        return min(moments, default=None)

    def awaits(self, shards: Iterable[HeldLease]) -> bool:
        """Whether what came back of these shards lets other lines leave."""
        return any(held in self._trials for held in shards)

    def drop(self, shards: Collection[HeldLease]) -> None:
        """Forget shards that are done, given back or lost; what the lanes have is not touched."""
        self.held.difference_update(shards)
        self._trials.drop(shards)
        self._stock.drop(shards)
        self._notes.drop(shards)

    def hold_back(self, shards: Collection[HeldLease]) -> None:
        """Let no further line of these shards leave: they are about to be given back."""
        self._trials.drop(shards)
        self._stock.drop(shards)

    def ring(self) -> None:
        """Something has changed in the store: others may have a claim."""
        self._is_dry, self._is_rung = False, True

    def _lacks(self) -> bool:
        """Whether the lanes of some model want more lines than are in hand."""
        ready: Counter[str] = Counter()
        for (_, model), lines in self._stock.ready().items():
            ready[model] += lines
        models = {model for (model, _), _ in self._lanes.each()}
        return any(self._lanes.appetite(model) > ready[model] for model in models)

    async def feed(self, *, may_lease: bool) -> None:
        """Let lines leave, and take shards for the lanes that want more."""
        await self._trials.step()
        if may_lease and not self._is_dry and (self._is_rung or self._lacks()):
            turns = self._turns(await self._waiting())
            if self._crowded_out and await self._make_room():
                turns = self._turns(await self._waiting())
            if turns:
                await self._lease(turns)
                await self._trials.step()
            self._is_rung = False
        await self._offer()
        await self.note_sent()

    async def _waiting(self) -> list[Waiting]:
        now = int(self._tools.clock.wall())
        rows = await self._tools.hot.run(self._tools.work.waiting, now)
        batches = {row.batch_id for row in rows}
        self._unreadable = {id: it for id, it in self._unreadable.items() if id in batches}
        patience = self._loop.time()
        rows = [row for row in rows if self._unreadable.get(row.batch_id, _FINE)[1] <= patience]
        self._is_dry = not rows
        return rows

    def _turns(self, rows: Sequence[Waiting]) -> list[Turn]:
        """Which shards are to be leased, so that each claim gets its turns."""
        turns = []
        room = self._room()
        self._crowded_out = None
        by_model: dict[str, list[Waiting]] = {}
        for row in rows:
            by_model.setdefault(row.model, []).append(row)
        for model, waiting in by_model.items():
            claims = self._claims(model, waiting, Counter())
            self._look_for_newcomers(model, claims)
            want = max(0, self._lanes.appetite(model))
            if model in self._recalled:
                # What waits in the lanes' queues is taken back before lines are offered.
                queued = self._lanes.unsent_by_owner(model)
                claims = self._claims(model, waiting, queued)
                want += sum(queued.values())
            for claim, lines in Counter(deal(claims, want)).items():
                lack = lines - claim.ready
                if lack > 0 >= room and not claim.ready and not claim.out:
                    self._crowded_out = self._crowded_out or claim
                if lack <= 0 or room <= 0:
                    continue
                shard_lines = self._tools.limits.shard_lines
                shards = min(-(-lack // shard_lines), _SHARDS_AT_ONCE_MAX, claim.shards)
                turns.append(Turn(claim.batch_id, model, shards))
                room -= shards * shard_lines
        return turns

    def _room(self) -> int:
        if self._held_bytes() >= _HELD_BYTES_MAX:
            return 0
        held = self._lanes.held + self._stock.lines + self._trials.lines
        return self._rules.lines_held_max - held

    async def _make_room(self) -> bool:
        """Give back shards that others have beyond their need to one that has none; or False."""
        claim, room, given = self._crowded_out, self._room(), []
        assert claim is not None
        if self._loop.time() < self._make_room_at:
            return False
        self._make_room_at = self._loop.time() + _MAKE_ROOM_SECONDS
        self._stock.put_back(self._lanes.recall(claim.model))
        for held, lines in self._stock.spare():
            lease = held.lease
            is_below = lease.project_id == claim.project_id and lease.priority < claim.priority
            key = lease.batch_id, lease.model
            if lines == held.remaining and not held.landed and room <= 0:
                others = sum(self._stock.shards(key).values()) - lines
                if is_below or others > 0:
                    given.append(held)
                    self._stock.drop([held])
                    room += lines
        if given:
            self.drop(given)
            places = [held.place for held in given]
            await self._tools.hot.run(self._tools.work.release, self._worker, places)
        return room > 0

    def _look_for_newcomers(self, model: str, claims: Sequence[Claim]) -> None:
        """Note whether a batch has come, or become urgent, that the lanes' queues do not regard."""
        known = self._regarded.get(model, frozenset())
        self._regarded[model] = frozenset((one.batch_id, one.urgent) for one in claims)
        if len(claims) > 1 and not self._regarded[model] <= known:
            self._recalled.add(model)

    def _claims(
        self, model: str, waiting: Sequence[Waiting], queued: Counter[HeldShard]
    ) -> list[Claim]:
        leases = {held.lease.batch_id: held.lease for held in self.held if _is_of(held, model)}
        rows = {row.batch_id: row for row in waiting}
        ready = self._stock.ready()
        out: Counter[str] = Counter()
        if len(leases.keys() | rows.keys()) > 1:
            for held, lines in self._lanes.held_by_owner(model).items():
                if isinstance(held, HeldLease):
                    out[held.lease.batch_id] += lines
        for held, lines in queued.items():
            if isinstance(held, HeldLease):
                out[held.lease.batch_id] -= lines
                ready[held.lease.batch_id, model] += lines
        rate, answer_seconds = self._lanes.pace(model)
        wall = self._tools.clock.wall()
        claims = []
        for id in leases.keys() | rows.keys():
            row = rows.get(id)
            about = row or leases[id]
            mine = ready[id, model]
            left = row.lines_left if row else mine + out[id]
            urgent = is_urgent(
                left,
                about.expires_at - wall,
                lines_per_second=rate,
                answer_seconds=answer_seconds,
            )
            claims.append(
                Claim(
                    batch_id=id,
                    model=model,
                    project_id=about.project_id,
                    priority=about.priority,
                    urgent=urgent,
                    expires_at=about.expires_at,
                    sequence=about.sequence,
                    lines=mine + (row.lines if row else 0),
                    ready=mine,
                    shards=row.shards if row else 0,
                    out=out[id],
                )
            )
        return claims

    async def _offer(self) -> None:
        """Fill the lanes from what is in hand, anew where a newcomer has a claim."""
        for model in self._recalled:
            self._stock.put_back(self._lanes.recall(model))
        self._recalled.clear()
        offers = {}
        for model in {model for _, model in self._stock.ready()}:
            want = self._lanes.appetite(model)
            dealt = deal(self._claims(model, (), Counter()), want) if want > 0 else []
            lines = {
                claim.batch_id: iter(self._stock.take((claim.batch_id, model), count))
                for claim, count in Counter(dealt).items()
            }
            if dealt:
                offers[model] = [next(lines[claim.batch_id]) for claim in dealt]
        try:
            owners = {line.owner for lines in offers.values() for line in lines}
            await self._notes.before_leaving(owners, self.held)
        except BaseException:
            for leaving in offers.values():
                self._stock.put_back(leaving)
            raise
        for model, leaving in offers.items():
            self._lanes.offer(model, [line for line in leaving if self._is_wanted(line.owner)])
        if offers:
            self._lanes.pump()

    def _is_wanted(self, held: HeldShard) -> bool:
        return isinstance(held, HeldLease) and held in self.held and held.abort_at is None

    async def note_sent(self) -> None:
        """Tell the store which shards have lines at the upstream, if that has changed."""
        await self._notes.update(self.held)

    async def _note_trial(self, held: HeldLease, lines: bytes | None) -> bool:
        now = int(self._tools.clock.wall())
        note = self._tools.work.note_trial
        return await self._tools.hot.run(note, self._worker, held.lease, lines, now)

    async def _lease(self, turns: Sequence[Turn]) -> None:
        now = int(self._tools.clock.wall())
        given_up = {
            id for id, (tries, _) in self._unreadable.items() if tries >= self._rules.read_tries_max
        }
        drawn, unreadable = await self._tools.hot.run(self._draw, turns, now, given_up)
        for lease, span, guilty_index in drawn:
            if span is not None:
                self._unreadable.pop(lease.batch_id, None)
            self._load(lease, span, guilty_index)
        for id, fault in unreadable.items():
            self._put_off(id, fault)

    def _put_off(self, batch_id: str, fault: OSError) -> None:
        """Leave a batch alone for a while whose input cannot be read."""
        tries = self._unreadable.get(batch_id, _FINE)[0] + is_own_fault(fault)
        first, most = _READ_AGAIN_SECONDS
        delay = min(most, first * 2.0 ** min(tries, 10))
        self._unreadable[batch_id] = tries, self._loop.time() + delay
        log.error("input_not_read", batch=batch_id, fault=str(fault), again_in_seconds=delay)

    def _draw(
        self, turns: Iterable[Turn], now: int, given_up: Collection[str]
    ) -> tuple[list[tuple[Lease, bytes | None, int | None]], dict[str, OSError]]:
        """Lease and read, and begin the count anew where the guilty line of a shard is known."""
        work, since = self._tools.work, now - workers.LOSSES_FORGOTTEN_SECONDS
        drawn = draw(
            work,
            self._tools.blobs,
            self._worker,
            turns,
            now,
            losses_since=since,
            watched_from=workers.WATCHED_FROM,
            given_up=given_up,
        )
        found = []
        for lease, span in drawn.shards:
            index = self._guilty(lease)
            if index is not None:
                work.absolve(lease)
            found.append((lease, span, index))
        return found, drawn.unreadable

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
        if lease.losses >= workers.WATCHED_FROM and not given_up:
            self._trials.add(held, lines)
        else:
            self._stock.add(held, lines)

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


def _is_of(held: HeldLease, model: str) -> bool:
    return held.lease.model == model
