"""The stories are worth something: bugs that others had, planted here, do not go unnoticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Integer, and_, bindparam, select, update

from batchyard.flow import keeping, recording, shift
from batchyard.places.store import (
    Store,
    Work,
    courses,
    leases,
    outbox,
    pieces,
    quota,
    workers,
)
from batchyard.places.store.schema import batches, shards
from tests.stories.loop import run_virtually
from tests.stories.story import tell

# Workers that are killed close no files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SEEDS_MAX = 400
Patch = Callable[[pytest.MonkeyPatch], None]


def record_ignores_the_lease(patch: pytest.MonkeyPatch) -> None:
    """A worker that was given up records all the same."""
    patch.setattr(leases, "not_held", lambda *_: [])


def burial_leaves_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """A dead worker's shards are freed, yet remain its own to write for."""

    def forsake(connection: Any, ids: Any) -> None:
        connection.execute(update(shards).where(shards.c.worker.in_(ids)).values(worker=None))

    patch.setattr(workers, "_forsake", forsake)


def any_free_shard_is_taken_back(patch: pytest.MonkeyPatch) -> None:
    """A worker that was given up goes on, though others have had its shard since."""
    free = and_(
        shards.c.batch_id == bindparam("the_batch"),
        shards.c.position == bindparam("the_position"),
        shards.c.worker.is_(None),
    )
    ours = {"worker": bindparam("the_worker"), "epoch": bindparam("the_epoch", type_=Integer) - 1}
    patch.setattr(leases, "_LAPSED", select(shards.c.position).where(free))
    patch.setattr(leases, "_TAKE_BACK", update(shards).where(free).values(ours))


def a_failed_piece_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the results at hand are thrown away."""
    real = shift.Shift._keep

    async def keep(self: Any, piece: Any) -> None:
        try:
            await real(self, piece)
        except OSError:
            return

    patch.setattr(shift.Shift, "_keep", keep)


def counts_are_added_twice(patch: pytest.MonkeyPatch) -> None:
    """A shard's end is counted as one more failed line."""
    real = pieces.record

    def record(connection: Any, piece: Any) -> None:
        real(connection, piece)
        for mark in piece.shards:
            if mark.remaining == 0:
                done = update(batches).where(batches.c.id == mark.batch_id)
                connection.execute(done.values(failed=batches.c.failed + 1))

    patch.setattr(leases, "record", record)


def a_second_result_replaces_nothing_but_is_written(patch: pytest.MonkeyPatch) -> None:
    """Each result of a line is written, not only the first."""
    real = recording.Recorder.add

    def add(self: Any, held: Any, landing: Any) -> None:
        real(self, held, landing)
        if landing.index == 0:
            held.landed.append(landing)

    patch.setattr(recording.Recorder, "add", add)


def the_tail_forgets_what_is_answered(patch: pytest.MonkeyPatch) -> None:
    """An expired batch writes off lines that have their answer."""
    real = Work.unanswered

    def unanswered(self: Work, batch_id: str) -> list[Any]:
        return [msgspec.structs.replace(one, answered=b"\0") for one in real(self, batch_id)]

    patch.setattr(Work, "unanswered", unanswered)


def a_shard_is_leased_again(patch: pytest.MonkeyPatch) -> None:
    """What was read of a shard's mask is forgotten: all its lines are asked and written again."""
    real = keeping.HeldLease.__init__

    def forgetful(self: Any, lease: Any) -> None:
        real(self, msgspec.structs.replace(lease, answered=b"", remaining=lease.lines))

    patch.setattr(keeping.HeldLease, "__init__", forgetful)


def tokens_are_kept(patch: pytest.MonkeyPatch) -> None:
    """A batch that has ended still counts as enqueued."""
    patch.setattr(courses, "release", lambda *_: None)


def nobody_is_let_in(patch: pytest.MonkeyPatch) -> None:
    """Tokens are given back, and who waited for them is not told."""
    real = quota.admit_waiting

    def admit(connection: Any, project_id: str, now: int) -> list[str]:
        ended = select(batches.c.id).where(batches.c.status.in_(("completed", "expired")))
        if connection.execute(ended).first():
            return []
        return real(connection, project_id, now)

    patch.setattr(courses, "admit_waiting", admit)


def an_end_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """What a cancelled batch leaves to be told is forgotten."""
    real = outbox.tell

    def tell_of_others(connection: Any, type: str, *rest: Any) -> None:
        if type != "batch.cancelled":
            real(connection, type, *rest)

    patch.setattr(courses, "tell", tell_of_others)


PLANTED: list[Patch] = [
    an_end_is_not_told,
    record_ignores_the_lease,
    burial_leaves_the_epoch,
    any_free_shard_is_taken_back,
    a_failed_piece_is_forgotten,
    counts_are_added_twice,
    a_second_result_replaces_nothing_but_is_written,
    the_tail_forgets_what_is_answered,
    a_shard_is_leased_again,
    tokens_are_kept,
    nobody_is_let_in,
]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(
    plant: Patch, store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a few hundred seeds some story breaks."""
    plant(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            run_virtually(tell(seed, store, place / "blobs"))
        except Exception:  # noqa: BLE001
            return
    pytest.fail(f"{plant.__name__} went unnoticed for {SEEDS_MAX} seeds")
