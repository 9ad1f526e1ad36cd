"""The API held against a small model, by whatever hypothesis can think of to ask."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from batchyard.server.upkeep import Upkeep
from tests.hands import in_hand
from tests.server.asking import DAY, GOOD, JSON, MONTH, OWNERS, STRANGERS, Asking, House
from tests.server.door import Answer
from tests.server.modelled import ENDED, KnownBatch, KnownFile, check_page, check_transition
from tests.server.recorded import Running

ENDPOINT = "/v1/chat/completions"
WINDOWS = {"24h": 86_400, "60s": 60, "7d": 604_800}
# Which lines of a batch are answered at once, and how.
ANSWERS = [
    {0: True, 1: True, 2: True},
    {0: True, 1: False, 2: True},
    {0: False, 1: False, 2: False},
    {0: True},
    {1: False},
]


class Api(Asking):
    """They make batches, too, workers take these on, and time passes."""

    files = Asking.files
    batches: Bundle[KnownBatch] = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.all_batches: list[KnownBatch] = []
        self.running: dict[str, Running] = {}
        self.seen: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        """End one life of it."""
        self.running.clear()
        super().teardown()

    @rule(owner=OWNERS, limit=st.integers(1, 3))
    def page_through_batches(self, owner: int, limit: int) -> None:
        """The same, of batches: the newest comes first."""
        expected = [one.id for one in self.all_batches[::-1] if one.owner == owner]
        self.page_through(owner, f"/v1/batches?limit={limit}", expected, limit)

    @rule(owner=OWNERS, file=files, batch=batches)
    def ask_behind_anything(self, owner: int, file: KnownFile, batch: KnownBatch) -> None:
        """What is behind another's object is nothing; behind a file just deleted, what was."""
        page = self.ask(owner, "GET", f"/v1/files?after={file.id}").json
        older = self.all_files[: self.all_files.index(file)][::-1]
        own = [one.id for one in older if one.owner == owner and one.lives(self.now)]
        ended = [one for one in (file.gone_at, file.expires_at) if one is not None]
        if not page["data"] and ended and min(ended) + DAY <= self.now:
            own = []
        check_page(page, own if file.owner == owner else [], 10_000)
        older = self.all_batches[: self.all_batches.index(batch)][::-1]  # type: ignore[assignment]
        own = [one.id for one in older if one.owner == batch.owner == owner]
        check_page(self.ask(owner, "GET", f"/v1/batches?after={batch.id}").json, own, 20)

    @rule(target=batches, input=files, stranger=STRANGERS, window=st.sampled_from(sorted(WINDOWS)))
    def create(self, input: KnownFile, stranger: int, window: str) -> Any:
        """A batch of any file is taken, unless the file is known to be for something else."""
        owner = input.owner ^ stranger
        asked = {
            "input_file_id": input.id,
            "endpoint": ENDPOINT,
            "completion_window": window,
            "metadata": {"number": str(len(self.all_batches))},
        }
        answer = self._create(owner, asked)
        own = input.owner == owner and input.lives(self.now)
        if own and input.purpose != "batch":
            assert answer.error == (400, "invalid_value", "input_file_id")
            return multiple()
        stamps = {"created_at": self.now, "expires_at": self.now + WINDOWS[window]}
        made = KnownBatch(answer.json["id"], owner, input, asked, stamps)
        self.all_batches.append(made)
        return made

    def _create(self, owner: int, asked: dict[str, Any]) -> Answer:
        headers = JSON | {"idempotency-key": asked["metadata"]["number"]}
        return self.ask(owner, "POST", "/v1/batches", json.dumps(asked).encode(), headers)

    @rule(batch=batches)
    def create_again(self, batch: KnownBatch) -> None:
        """For a day, the same request with the same key makes nothing new."""
        if self.now >= batch.stamps["created_at"] + DAY:
            return
        if batch.input.owner == batch.owner and batch.input.purpose == "batch":
            again = self._create(batch.owner, batch.asked)
            assert (again.status, again.json["id"]) == (200, batch.id)
            assert again.json["status"] == "validating"
        other = self._create(batch.owner, batch.asked | {"completion_window": "5m"})
        assert other.error == (400, "idempotency_key_reused", "Idempotency-Key")

    @rule(batch=batches, stranger=STRANGERS)
    def cancel(self, batch: KnownBatch, stranger: int) -> None:
        """Whoever owns it may cancel what has not ended, as often as they like."""
        owner = batch.owner ^ stranger
        path = "/v1/batches/{}/cancel"
        if batch.owner != owner:
            self.missing(owner, "POST", path, batch.id)
            return
        answer = self.ask(owner, "POST", path.format(batch.id))
        if batch.status in ENDED and batch.status != "cancelled":
            assert answer.error == (409, None, None)
            return
        if batch.status in ("validating", "in_progress"):
            batch.move(self.now, "cancelling")
        assert batch.shown.items() <= answer.json.items()

    @rule(batch=batches, stranger=STRANGERS, verb=st.sampled_from(["pause", "resume"]))
    def rest(self, batch: KnownBatch, stranger: int, verb: str) -> None:
        """Whoever owns it may let it rest while it runs or will."""
        owner = batch.owner ^ stranger
        path = f"/v1/batches/{{}}/{verb}"
        if batch.owner != owner:
            self.missing(owner, "POST", path, batch.id)
            return
        answer = self.ask(owner, "POST", path.format(batch.id))
        if batch.status not in ("validating", "in_progress"):
            assert answer.error == (409, None, None)
            return
        batch.paused = verb == "pause"
        assert answer.json["status"] == batch.status
        assert batch.paused == ("paused_at" in answer.json["batchyard"])

    # What workers do

    @initialize(target=batches, window=st.sampled_from(sorted(WINDOWS)))
    def begin(self, window: str) -> Any:
        """Something runs already."""
        batch = self.create(self.upload(0, GOOD, "batch", None), 0, window)
        self.step(batch)
        return batch

    @rule(batch=batches)
    def step(self, batch: KnownBatch) -> None:
        """A worker takes the next step of a batch, if there is one."""
        due = {one.id for one in self.door.work.look(self.now).courses}
        assert batch.due(self.now) == (batch.id in due)
        if batch.id not in due:
            return
        if batch.id in self.running:
            self.running[batch.id].step()
        else:
            self.running[batch.id] = Running.of(self.callers[batch.owner], batch.id)
            self.running[batch.id].release()
        file = batch.input
        usable = file.owner == batch.owner and file.lives(self.now) and file.purpose == "batch"
        if batch.total == 0 and batch.status in ("validating", "cancelling"):
            if usable and file.lines:
                batch.total = file.lines
                if batch.status == "validating":
                    batch.move(self.now, "in_progress")
            else:
                batch.move(self.now, "failed" if batch.status == "validating" else "cancelled")
            return
        if batch.status == "in_progress":
            batch.move(self.now, "finalizing")
        end = "completed" if len(batch.answered) == batch.total else "expired"
        batch.move(self.now, "cancelled" if batch.status == "cancelling" else end)
        self._results(batch)

    def _results(self, batch: KnownBatch) -> None:
        shown = self.ask(batch.owner, "GET", f"/v1/batches/{batch.id}").json
        good = {f"c{index}" for index, good in batch.answered.items() if good}
        bad = {f"c{index}" for index in range(batch.total)} - good
        for name, ids in (("output", good), ("error", bad)):
            assert (shown[f"{name}_file_id"] is not None) == bool(ids)
            if not ids:
                continue
            file = self.ask(batch.owner, "GET", f"/v1/files/{shown[f'{name}_file_id']}").json
            content = self.ask(batch.owner, "GET", f"/v1/files/{file['id']}/content").body
            found = [json.loads(line)["custom_id"] for line in content.splitlines()]
            assert sorted(found) == sorted(ids)
            known = self.made_file(batch.owner, file, (content, None), "batch_output", MONTH)
            batch.output, batch.errors = (
                (known, None) if name == "output" else (batch.output, known)
            )

    @rule(batch=batches, answers=st.sampled_from(ANSWERS))
    def answer(self, batch: KnownBatch, answers: dict[int, bool]) -> None:
        """A worker leases what a batch gives out, and records answers."""
        running = self.running.get(batch.id)
        if running is None:
            return
        leased = running.restart()
        assert leased == (batch.runs(self.now) and len(batch.answered) < batch.total)
        new = {i: ok for i, ok in answers.items() if i < batch.total and i not in batch.answered}
        if leased and new:
            good = {index: "hi" for index, ok in new.items() if ok}
            running.record(good, {index: (400, "no") for index, ok in new.items() if not ok})
            batch.answered |= new
        running.release()

    @rule(batch=batches, answers=st.sampled_from(ANSWERS))
    def close_to_results(self, batch: KnownBatch, answers: dict[int, bool]) -> None:
        """A worker answers what it can, begins the end of a batch, and is lost."""
        self.answer(batch, answers)
        if batch.status == "in_progress" and batch.due(self.now):
            due = self.door.work.look(self.now).courses
            course = next(one for one in due if one.id == batch.id)
            with in_hand(self.door.work, batch.id) as hand:
                assert self.door.work.begin_finalizing(course, hand, self.now)
            batch.move(self.now, "finalizing")

    # Time

    @rule(seconds=st.sampled_from([0, 1, 1, 61, 3_601, DAY + 1, MONTH + 1]))
    def pass_by(self, seconds: int) -> None:
        """Time passes."""
        self.owners = {0, 1}
        self.house.now += seconds

    @rule()
    def sweep(self) -> None:
        """What nothing needs any more is thrown away: nobody notices, but of old uploads."""
        yard = self.door.yard
        asyncio.run(Upkeep(yard.records, yard.blobs, yard.store, self.house.clock).sweep())
        for one in self.all_uploads:
            one.forgotten |= one.expires_at + DAY <= self.now

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        """Each project sees its own files and batches, exactly as the model has them."""
        for owner in self.owners:
            own = [one for one in self.all_files if one.owner == owner and one.lives(self.now)]
            shown = self.ask(owner, "GET", "/v1/files").json["data"]
            assert [one["id"] for one in shown] == [one.id for one in own[::-1]]
            mine = [one for one in self.all_batches[::-1] if one.owner == owner]
            shown = self.ask(owner, "GET", "/v1/batches?limit=100").json["data"]
            assert len(shown) == len(mine)
            for known, batch in zip(mine, shown, strict=True):
                assert known.shown == {name: batch[name] for name in known.shown}
                assert (batch["errors"] is not None) == (known.status == "failed")
                check_transition(self.seen.get(known.id), batch)
                self.seen[known.id] = batch
        self.owners.clear()


@pytest.fixture(autouse=True)
def house(tmp_path: Path) -> Iterator[None]:
    """The house of all lives of a test."""
    Api.house = House(tmp_path)
    yield
    Api.house.close()


def held(examples: int, steps: int, *, alike: bool) -> None:
    """Hold the API against the model so many times."""
    run_state_machine_as_test(
        Api,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=alike,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# To find the shortest of what breaks a promise takes longer than to find none.
@pytest.mark.timeout(600)
def test_the_api_does_what_the_model_does() -> None:
    """Whatever two projects ask in whatever order: the listed transitions, nothing of another's."""
    held(12, 80, alike=True)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
def test_the_api_does_what_the_model_does_in_the_long_run() -> None:
    """The same, for a fiftieth of the seeds asked for."""
    held(max(50, int(os.environ.get("SEEDS", "100")) // 50), 80, alike=False)
