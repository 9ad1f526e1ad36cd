"""Writes pieces into segments and has the store record them."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from batchyard.flow.failure_counts import FailureTally
from batchyard.flow.shards import HeldShard, Part, Tally
from batchyard.places.blobs import Blobs, Segment
from batchyard.places.store import Work
from batchyard.places.store.rows import BatchTally, Lease, Recording, SegmentMark, ShardMark

__all__ = ["HeldLease", "Ledger"]

Kind = Literal["output", "error"]


class HeldLease(HeldShard):
    """A leased shard, and what is to be known of it when its lines come back."""

    __slots__ = ("abort_at", "lease")

    def __init__(self, lease: Lease) -> None:
        answered = int.from_bytes(lease.answered, "little")
        super().__init__(
            lease.lines,
            answered,
            lease.remaining,
            first_index=lease.first_index,
            line_id_prefix=lease.line_id_prefix,
        )
        self.lease = lease
        # Set when its batch ends: until then its lines at the upstream may come back.
        self.abort_at: float | None = None

    def end_by(self, moment: float) -> None:
        """Its batch ends: what is not back by then (on the steady clock) is given up."""
        self.abort_at = moment
        self.is_awaited = True

    @property
    def place(self) -> tuple[str, int]:
        """Which shard it is: of which batch, and where in it."""
        return self.lease.batch_id, self.lease.position


class Ledger:
    """The segments of one worker: per batch one for answers and one for errors.

    Used from one thread at a time.
    """

    def __init__(self, worker: str, work: Work, blobs: Blobs) -> None:
        self._worker, self._work, self._blobs = worker, work, blobs
        self._segments: dict[tuple[str, Kind], _Open] = {}
        self._opened = 0

    def keep(self, piece: Mapping[HeldLease, Part], now: int) -> list[HeldLease]:
        """Make a piece durable and recorded; returns the shards that were no longer ours.

        Their results are left out, and all others recorded. Raises OSError or a database error
        when nothing was recorded.
        """
        rest = dict(piece)
        lost: list[HeldLease] = []
        while rest:
            appended = self._append(rest)
            marks = tuple(one.next_mark for one in appended)
            refused = self._work.record(self._worker, _recording(rest, marks, now))
            if not refused:
                for one in appended:
                    one.accept()
                break
            gone = [held for held in rest if held.place in refused]
            lost += gone
            for held in gone:
                del rest[held]
        return lost

    def close_batch(self, batch_id: str) -> None:
        """Close the segments of a batch that has ended, or is to be written to anew."""
        for key in [key for key in self._segments if key[0] == batch_id]:
            self._segments.pop(key).segment.close()

    def close(self) -> None:
        """Close all segments."""
        for one in self._segments.values():
            one.segment.close()
        self._segments.clear()

    def _append(self, piece: Mapping[HeldLease, Part]) -> list["_Open"]:
        # For each segment its texts, with how many lines they have.
        texts: dict[tuple[str, Kind], list[tuple[bytes, int]]] = {}
        for held, part in piece.items():
            batch_id, tally = held.lease.batch_id, part.tally
            if part.output:
                texts.setdefault((batch_id, "output"), []).append((part.output, tally.completed))
            if part.errors:
                texts.setdefault((batch_id, "error"), []).append((part.errors, tally.failed))
        appended = []
        for key, found in texts.items():
            one = self._segments.get(key) or self._open(key)
            try:
                one.append(found)
            except OSError:
                # Nobody knows what the disk holds of it now; what is marked stays valid.
                self._segments.pop(key).segment.close()
                raise
            appended.append(one)
        return appended

    def _open(self, key: tuple[str, Kind]) -> "_Open":
        batch_id, kind = key
        self._opened += 1
        # Names sort in the order in which segments were begun: whoever reads the results so far
        # finds what comes later behind what it has read.
        begun = len(self._work.segments(batch_id))
        name = f"results/{batch_id}/{begun:06d}-{self._worker}-{self._opened:06d}.{kind}.jsonl"
        one = self._segments[key] = _Open(batch_id, kind, self._blobs.segment(name))
        return one


class _Open:
    """A segment, with the lines it has and would have."""

    def __init__(self, batch_id: str, kind: Kind, segment: Segment) -> None:
        self._batch_id, self._kind, self.segment = batch_id, kind, segment
        self._lines = self._next_lines = 0

    def append(self, texts: list[tuple[bytes, int]]) -> None:
        self.segment.append(b"".join([text for text, _ in texts]))
        self._next_lines = self._lines + sum(lines for _, lines in texts)

    @property
    def next_mark(self) -> SegmentMark:
        size_bytes, sha256 = self.segment.reached
        return SegmentMark(
            self._batch_id, self.segment.name, self._kind, size_bytes, self._next_lines, sha256
        )

    def accept(self) -> None:
        self.segment.mark()
        self._lines = self._next_lines


def _recording(
    piece: Mapping[HeldLease, Part], marks: tuple[SegmentMark, ...], now: int
) -> Recording:
    tallies: dict[tuple[str, str, str], Tally] = {}
    failures: dict[str, FailureTally] = {}
    for held, part in piece.items():
        lease = held.lease
        if part.failures:
            failures.setdefault(lease.batch_id, FailureTally()).add(part.failures)
        key = (lease.batch_id, lease.model, lease.project_id)
        tallies.setdefault(key, Tally()).add(part.tally)
    return Recording(
        shards=tuple(
            ShardMark(
                held.lease.batch_id,
                held.lease.position,
                held.lease.epoch,
                part.answered.to_bytes((held.lines + 7) // 8, "little"),
                part.remaining,
            )
            for held, part in piece.items()
        ),
        tallies=tuple(
            BatchTally(
                batch_id=batch_id,
                model=model,
                project_id=project_id,
                **msgspec.structs.asdict(tally),
            )
            for (batch_id, model, project_id), tally in tallies.items()
        ),
        segments=marks,
        now=now,
        failures={batch_id: tally.most_frequent() for batch_id, tally in failures.items()},
    )
