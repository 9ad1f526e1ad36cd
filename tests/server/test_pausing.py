"""Pause, resume and priority at the door; no worker stands behind it."""

import pytest

from batchyard.wire.objects import BatchStatus
from tests.server.door import Caller


def test_a_batch_is_paused_and_resumed(caller: Caller) -> None:
    """Each is answered with the batch and may be asked twice; the workers hear of it."""
    id = caller.create().json["id"]
    rings = caller.door.rings
    for verb in ("pause", "pause", "resume", "resume"):
        answer = caller.ask("POST", f"/v1/batches/{id}/{verb}")
        assert (answer.status, answer.json["id"], answer.json["status"]) == (200, id, "validating")
    assert caller.door.rings == rings + 4


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_what_has_ended_cannot_rest(caller: Caller, verb: str, status: BatchStatus) -> None:
    """409, and a client that would try again is told not to."""
    id = caller.create().json["id"]
    if status == "cancelled":
        caller.ask("POST", f"/v1/batches/{id}/cancel")
    caller.door.end(id, status)
    answer = caller.ask("POST", f"/v1/batches/{id}/{verb}")
    assert answer.error == (409, None, None)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json["error"]["message"] == f"Cannot {verb} a batch with status '{status}'."


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_nobody_pauses_what_is_not_theirs(caller: Caller, verb: str) -> None:
    """Another project's batch is a missing one."""
    id = caller.create().json["id"]
    answer = caller.door.caller().ask("POST", f"/v1/batches/{id}/{verb}")
    assert answer.status == 404
    assert answer.json["error"]["message"] == f"No batch found with id '{id}'."


def test_a_paused_batch_gives_nothing_out(caller: Caller) -> None:
    """Neither one that was paused in validation nor one that ran; a resumed one does."""
    door = caller.door
    id = caller.create().json["id"]
    caller.ask("POST", f"/v1/batches/{id}/pause")
    door.populate(id)
    assert id not in {one.batch_id for one in door.work.waiting(door.yard.now())}
    assert door.work.halted([id]) == {id: False}
    caller.ask("POST", f"/v1/batches/{id}/resume")
    assert id in {one.batch_id for one in door.work.waiting(door.yard.now())}
    caller.ask("POST", f"/v1/batches/{id}/cancel")
    assert door.work.halted([id]) == {id: True}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (101, "integer_above_max_value"),
        (-101, "integer_below_min_value"),
        ("1", "invalid_type"),
        (True, "invalid_type"),
        (1.5, "invalid_type"),
    ],
)
def test_a_priority_is_a_small_integer(caller: Caller, value: object, code: str) -> None:
    """Anything else is refused by name."""
    assert caller.create(priority=value).error == (400, code, "priority")


def test_a_priority_orders_the_work(caller: Caller, strict_caller: Caller) -> None:
    """It is kept where it may be given; the strict profile takes no notice."""
    for one, kept in ((caller, -7), (strict_caller, 0)):
        id = one.create(priority=-7).json["id"]
        one.door.populate(id)
        waiting = one.door.work.waiting(one.door.yard.now())
        assert [each.priority for each in waiting if each.batch_id == id] == [kept]
