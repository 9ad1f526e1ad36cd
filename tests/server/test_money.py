"""What batches cost while they run, and budgets in dollars."""

from collections.abc import Iterator
from typing import Any

import pytest

from batchyard.wire.money import Price
from tests.server.door import Caller
from tests.server.recorded import Running

# An answer of these tests has 3 tokens in and 2 out: 1.3 cents, or half of it in a batch.
PRICE = Price(input=10**9, cached=10**9, output=5 * 10**9, discount=5_000, source="own table")


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Running, "price", PRICE)
    yield


def extras(caller: Caller, id: str) -> dict[str, Any]:
    """What is ours of a batch."""
    shown: dict[str, Any] = caller.ask("GET", f"/v1/batches/{id}").json["batchyard"]
    return shown


@pytest.mark.usefixtures("priced")
def test_cost_is_live_and_final(caller: Caller) -> None:
    """It grows with the answers, and stays when the batch has ended."""
    running = Running(caller, 4)
    assert extras(caller, running.id)["cost"] == {
        "usd": 0.0,
        "realtime_usd": 0.0,
        "saved_usd": 0.0,
        "prices": "own table",
    }
    running.record({0: "a", 1: "b"})
    caller.door.yard.wardrobe.forget(running.id)
    assert extras(caller, running.id)["cost"]["usd"] == 0.013
    running.restart()
    running.record({2: "c"}, {3: (500, {"message": "no"})})
    running.step()
    cost = extras(caller, running.id)["cost"]
    assert (cost["usd"], cost["realtime_usd"], cost["saved_usd"]) == (0.0195, 0.039, 0.0195)


def test_without_a_price_there_is_no_cost(caller: Caller) -> None:
    """Nothing is better than a wrong number."""
    running = Running(caller, 1)
    running.record({0: "a"})
    assert "cost" not in extras(caller, running.id)


@pytest.mark.usefixtures("priced")
def test_a_batch_stops_at_its_dollars(caller: Caller) -> None:
    """Two answers are 1.3 cents in a batch."""
    running = Running(caller, 4, budget={"usd": 0.013})
    running.record({0: "a"})
    assert "paused_by" not in extras(caller, running.id)
    running.restart()
    running.record({1: "b"})
    caller.door.yard.wardrobe.forget(running.id)
    shown = extras(caller, running.id)
    assert (shown["paused_by"], shown["budget"]) == ("budget", {"usd": 0.013})
    answer = caller.post(f"/v1/batches/{running.id}/resume", {})
    assert "$0.013" in answer.json["error"]["message"]
    answer = caller.post(f"/v1/batches/{running.id}/resume", {"budget": {"usd": 1}})
    assert "paused_by" not in answer.json["batchyard"]


def test_dollars_without_a_price_are_refused(caller: Caller) -> None:
    """A budget that could never stop anything fails the batch before it costs anything."""
    running = Running(caller, 1, budget={"usd": 1})
    batch = caller.ask("GET", f"/v1/batches/{running.id}").json
    assert batch["status"] == "failed"
    assert batch["errors"]["data"][0]["code"] == "price_unknown"


def test_retries_are_linked_both_ways(caller: Caller) -> None:
    """Each says of the other."""
    running = Running(caller, 2)
    running.record({0: "a"}, {1: (429, {"code": "slow"})})
    running.step()
    made = caller.post(f"/v1/batches/{running.id}/retry", {}).json
    assert made["batchyard"]["retry_of"] == running.id
    assert extras(caller, running.id)["retried_by"] == [made["id"]]
