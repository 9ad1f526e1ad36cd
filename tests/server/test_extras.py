"""What is ours on a batch: the key `batchyard`, as the door shows it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from batchyard.places.store.rows import LaneRow
from batchyard.rules.standing import EVERY_MODEL, LaneStanding
from tests.server.door import Caller

DOWN = LaneStanding(
    width=8,
    width_why="still widening",
    in_flight=0,
    trouble="upstream_down: refused",
    trouble_since=5,
)


@pytest.fixture
def worker(caller: Caller) -> Iterator[str]:
    """A worker that is alive, and does nothing."""
    name = f"worker of {caller.key_id}"
    caller.door.work.sign_on(name, caller.door.yard.clock.steady() + 60)
    yield name
    caller.door.work.sign_off(name)


def extras(caller: Caller, id: str) -> Any:
    """What is shown now of a batch, however lately somebody looked."""
    caller.door.yard.wardrobe.forget(id)
    return caller.ask("GET", f"/v1/batches/{id}").json["batchyard"]


def test_a_batch_that_waits_names_who_holds_the_tokens(caller: Caller, worker: str) -> None:
    """As long as it waits; the holder says how many it has."""
    door = caller.door
    first, second = (caller.create().json["id"] for _ in range(2))
    project = door.project_of(first)
    door.records.set_limit(project, "tiny", 100, door.yard.now())
    door.populate(first, 60)
    door.populate(second, 50)
    assert extras(caller, first) == {"tokens_held": 60, "lines_per_second": 0.0}
    reason = extras(caller, second)["reason"]
    assert reason["code"] == "waiting_quota"
    assert f"60 of 100 enqueued tokens of tiny are held by {first}" in reason["message"]
    caller.ask("POST", f"/v1/batches/{first}/cancel")
    door.end(first, "cancelled")
    assert extras(caller, first) == {}
    assert extras(caller, second)["tokens_held"] == 50


def test_a_pause_is_seen_at_once(caller: Caller, worker: str) -> None:
    """Also by who has just looked."""
    id = caller.create().json["id"]
    assert caller.ask("GET", f"/v1/batches/{id}").json["batchyard"] == {}
    shown = caller.ask("POST", f"/v1/batches/{id}/pause").json["batchyard"]
    assert (shown["paused_by"], shown["reason"]["code"]) == ("user", "paused_by")
    assert shown == caller.ask("GET", "/v1/batches").json["data"][0]["batchyard"]
    assert caller.ask("POST", f"/v1/batches/{id}/resume").json["batchyard"] == {}


def test_what_a_worker_says_of_its_lanes_is_told(caller: Caller, worker: str) -> None:
    """Until it says otherwise, or is gone."""
    door = caller.door
    id = caller.create().json["id"]
    door.populate(id)
    row = LaneRow(
        model="tiny", upstream="gpu", standing=msgspec.json.encode(DOWN), said_at=door.yard.now()
    )
    door.work.say_lanes("nobody", [row])
    assert "reason" not in extras(caller, id)
    door.work.say_lanes(worker, [row])
    assert extras(caller, id)["reason"] == {
        "code": "upstream_down",
        "message": "gpu is down (refused); it is probed again",
        "since": 5,
    }
    assert extras(caller, id)["lanes"][0]["limited_by"] == "still widening"
    # Other tests leave workers behind in the store that they share.
    door.work.bury_all()
    assert extras(caller, id)["reason"]["code"] == "no_worker"


def test_a_full_disk_is_told(caller: Caller, worker: str) -> None:
    """It stops the lanes of all models, also of those that have none yet."""
    id = caller.create().json["id"]
    caller.door.populate(id)
    stalled = msgspec.json.encode(LaneStanding(width=0, in_flight=0, unrecorded_since=7))
    row = LaneRow(model=EVERY_MODEL, upstream="", standing=stalled, said_at=8)
    caller.door.work.say_lanes(worker, [row])
    reason = extras(caller, id)["reason"]
    assert (reason["code"], reason["since"]) == ("disk_low", 7)


def test_who_is_passed_over_says_so(caller: Caller, worker: str) -> None:
    """A batch of higher priority has lines for the same model."""
    low, high = caller.create(priority=-1).json["id"], caller.create(priority=1).json["id"]
    for id in (low, high):
        caller.door.populate(id)
    assert extras(caller, low)["reason"]["code"] == "behind_higher_priority"
    assert "reason" not in extras(caller, high)
    for id in (low, high):
        caller.ask("POST", f"/v1/batches/{id}/cancel")


def test_no_other_project_is_in_the_way(caller: Caller, worker: str) -> None:
    """Priorities count within a project."""
    other = caller.door.caller()
    low, high = caller.create(priority=-1).json["id"], other.create(priority=100).json["id"]
    for id in (low, high):
        caller.door.populate(id)
    assert "reason" not in extras(caller, low)
    caller.ask("POST", f"/v1/batches/{low}/cancel")
    other.ask("POST", f"/v1/batches/{high}/cancel")


def test_the_strict_profile_shows_no_more_than_openai(strict_caller: Caller) -> None:
    """To the letter."""
    id = strict_caller.create().json["id"]
    assert "batchyard" not in strict_caller.ask("GET", f"/v1/batches/{id}").json
    assert "batchyard" not in strict_caller.ask("GET", "/v1/batches").json["data"][0]
