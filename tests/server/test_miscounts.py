"""Batches whose counts and results disagree, which no bug of ours must bring about, and may."""

import pytest
from sqlalchemy import update

from batchyard.places.store.schema import batches
from tests.hands import in_hand
from tests.server.door import Caller
from tests.server.recorded import Running


def spoil(caller: Caller, id: str, **counts: int) -> None:
    """Write counts that nobody counted."""
    with caller.door._store.writing() as connection:
        connection.execute(update(batches).where(batches.c.id == id).values(**counts))


@pytest.mark.parametrize("counts", [{"completed": 3}, {"failed": 1}, {"total": 4}])
def test_a_batch_that_disagrees_with_its_results_ends(
    caller: Caller, counts: dict[str, int]
) -> None:
    """It fails and says how they disagree; no file is made of it, what it has can be read."""
    running = Running(caller, 2)
    running.record({0: "a", 1: "b"})
    running.release()
    spoil(caller, running.id, **counts)
    running.step()
    other = Running(caller, 1)
    other.record({0: "c"})
    other.release()
    other.step()
    batch = caller.ask("GET", f"/v1/batches/{running.id}").json
    assert (batch["status"], batch["output_file_id"], batch["error_file_id"]) == (
        *("failed", None),
        None,
    )
    (error,) = batch["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == ("server_error", None, None)
    assert "but recorded 2 completed and 0 failed of 2." in error["message"]
    assert batch["failed_at"] >= batch["created_at"]
    lines = caller.ask("GET", f"/v1/batches/{running.id}/results")
    assert (lines.body.count(b"\n"), lines.headers["x-incomplete"]) == (2, "false")
    # Its tokens are free, and nothing of it holds up others.
    project = caller.door.project_of(caller.create().json["id"])
    assert [one.used for one in caller.door.records.headroom(project)] == []
    assert caller.ask("GET", f"/v1/batches/{other.id}").json["status"] == "completed"


def test_counts_that_have_moved_on_are_looked_at_again(caller: Caller) -> None:
    """Who decides by counts of before decides nothing."""
    running = Running(caller, 1)
    running.record({0: "a"})
    running.release()
    work, now = caller.door.work, caller.door.yard.now()
    course = next(one for one in work.look(now).courses if one.id == running.id)
    spoil(caller, running.id, completed=2)
    with in_hand(work, running.id) as hand:
        assert not work.begin_finalizing(course, hand, now)
    spoil(caller, running.id, completed=1)
    running.step()
    assert caller.ask("GET", f"/v1/batches/{running.id}").json["status"] == "completed"
