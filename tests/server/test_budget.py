"""A budget stops a batch; a larger one lets it go on."""

import pytest

from tests.server.door import Answer, Caller
from tests.server.recorded import Running


def resume(caller: Caller, running: Running, **asked: object) -> Answer:
    """Ask for a batch to go on."""
    return caller.post(f"/v1/batches/{running.id}/resume", asked)


def gives_lines(caller: Caller, running: Running) -> bool:
    """Whether workers are given lines of it."""
    running.release()
    waiting = caller.door.work.waiting(caller.door.yard.now())
    return running.id in {one.batch_id for one in waiting}


def test_a_batch_stops_at_its_tokens(caller: Caller) -> None:
    """When its answers have used as many; what has come is kept."""
    running = Running(caller, 9, budget={"tokens": 10})
    running.record({0: "a"})
    assert gives_lines(caller, running)
    running.restart()
    running.record({1: "b", 2: "c"})
    assert not gives_lines(caller, running)
    answer = resume(caller, running)
    assert answer.error == (409, "budget_reached", "budget")
    assert "10 tokens" in answer.json["error"]["message"]
    assert resume(caller, running, budget={"tokens": 15}).status == 409
    assert not gives_lines(caller, running)
    assert resume(caller, running, budget={"tokens": 16}).status == 200
    assert gives_lines(caller, running)
    running.restart()
    running.record({3: "d"})
    assert not gives_lines(caller, running)
    assert caller.post(f"/v1/batches/{running.id}/cancel", {}).status == 200
    running.step()
    assert caller.ask("GET", f"/v1/batches/{running.id}").json["request_counts"]["completed"] == 4


def test_a_batch_that_ends_at_its_budget_ends(caller: Caller) -> None:
    """Nothing is left that a budget could stop."""
    running = Running(caller, 2, budget={"tokens": 10})
    running.record({0: "a", 1: "b"})
    running.step()
    assert caller.ask("GET", f"/v1/batches/{running.id}").json["status"] == "completed"


@pytest.mark.parametrize(
    ("budget", "param"),
    [
        (5, "budget"),
        ({}, "budget.tokens"),
        ({"tokens": 0}, "tokens"),
        ({"tokens": "many"}, "tokens"),
        ({"usd": 0}, "budget.usd"),
        ({"usd": "1"}, "budget.usd"),
        ({"euro": 1}, "budget"),
    ],
)
def test_what_is_no_budget_is_refused(caller: Caller, budget: object, param: str) -> None:
    """Nobody finds out later that a budget was not understood."""
    answer = caller.create(budget=budget)
    assert (answer.error[0], answer.error[2]) == (400, param)


def test_strict_knows_no_budget(strict_caller: Caller) -> None:
    """OpenAI passes over parameters that it does not know."""
    for budget in ("none", {"tokens": 1}, {"usd": 1}):
        refused = (400, "unsupported_parameter", "budget")
        assert strict_caller.create(budget=budget).error == refused
        for path in ("retry", "resume"):
            answer = strict_caller.post(f"/v1/batches/x/{path}", {"budget": budget})
            assert answer.error == refused
    assert strict_caller.create(budget=None).status == 200
