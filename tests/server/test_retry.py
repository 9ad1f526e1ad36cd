"""A batch of just the lines of another that failed or never ran."""

from typing import Any

import pytest

from tests.server.door import Answer, Caller
from tests.server.recorded import Running, chat_lines

THROTTLED = (429, {"code": "rate_limit_exceeded", "message": "Slow down."})
TOO_LONG = (400, {"code": "context_length_exceeded", "message": "Too long."})
DOWN = ("upstream_unreachable", "It is down.")


def retry(caller: Caller, id: str, **asked: object) -> Answer:
    """Ask for a retry."""
    return caller.post(f"/v1/batches/{id}/retry", asked)


@pytest.fixture
def cancelled(caller: Caller) -> Running:
    """Of six lines one is answered, three have failed, and two were never executed."""
    running = Running(caller, 6)
    running.record({0: "a"}, {1: THROTTLED, 3: TOO_LONG, 4: DOWN})
    running.release()
    assert caller.post(f"/v1/batches/{running.id}/cancel", {}).status == 200
    running.step()
    return running


def asked_of(caller: Caller, answer: Answer) -> bytes:
    """The input of a batch that was made."""
    assert answer.status == 200, answer.body
    return caller.ask("GET", f"/v1/files/{answer.json['input_file_id']}/content").body


def lines(*indexes: int) -> bytes:
    """Some lines of the input."""
    whole = chat_lines(6).splitlines(keepends=True)
    return b"".join(whole[index] for index in indexes)


@pytest.mark.parametrize(
    ("asked", "indexes"),
    [
        ({}, (1, 2, 3, 4, 5)),
        ({"only": "all_unsuccessful"}, (1, 2, 3, 4, 5)),
        ({"only": "failed"}, (1, 3, 4)),
        ({"only": "not_executed"}, (2, 5)),
        ({"only": "failed", "codes": ["429", "upstream_unreachable"]}, (1, 4)),
        ({"codes": ["batch_cancelled", "context_length_exceeded"]}, (2, 3, 5)),
    ],
)
def test_the_lines_that_were_meant(
    caller: Caller, cancelled: Running, asked: dict[str, Any], indexes: tuple[int, ...]
) -> None:
    """Byte for byte as they stood, in the order of the input."""
    rings = caller.door.rings
    answer = retry(caller, cancelled.id, **asked)
    assert asked_of(caller, answer) == lines(*indexes)
    assert caller.door.rings == rings + 1
    assert (answer.json["status"], answer.json["completion_window"]) == ("validating", "24h")


def test_without_a_body_all_is_meant(caller: Caller, cancelled: Running) -> None:
    """`curl -X POST` is enough."""
    answer = caller.ask("POST", f"/v1/batches/{cancelled.id}/retry")
    assert asked_of(caller, answer) == lines(1, 2, 3, 4, 5)


def test_what_is_asked_otherwise(caller: Caller, cancelled: Running) -> None:
    """The window and the metadata may be others."""
    answer = retry(caller, cancelled.id, completion_window="90m", metadata={"try": "2"}).json
    assert (answer["completion_window"], answer["metadata"]) == ("90m", {"try": "2"})
    assert answer["expires_at"] - answer["created_at"] == 5_400


def test_whoever_presses_twice_has_one_batch(caller: Caller, cancelled: Running) -> None:
    """The same request makes one batch and one file; another request another."""
    first, second = retry(caller, cancelled.id), retry(caller, cancelled.id)
    assert first.json == second.json
    assert len(caller.ask("GET", "/v1/files").json["data"]) == 4
    other = retry(caller, cancelled.id, only="failed")
    assert other.json["id"] != first.json["id"]


def test_another_budget_is_another_retry(caller: Caller, cancelled: Running) -> None:
    """Whoever asks again with a budget does not get the batch that has none."""
    budgets: list[dict[str, float] | None] = [None, {"tokens": 10}, {"tokens": 20}, {"usd": 1.5}]
    made = [retry(caller, cancelled.id, budget=budget).json for budget in budgets]
    assert len({one["id"] for one in made}) == len(budgets)
    assert [one["batchyard"].get("budget") for one in made] == budgets
    assert retry(caller, cancelled.id, budget={"tokens": 20}).json["id"] == made[2]["id"]


def test_a_retry_has_a_name(caller: Caller, cancelled: Running) -> None:
    """With an Idempotency-Key the same answer comes again, and no other request may have it."""

    def named(body: bytes) -> Answer:
        headers = {"idempotency-key": "k", "content-type": "application/json"}
        return caller.ask("POST", f"/v1/batches/{cancelled.id}/retry", body, headers)

    first = named(b'{"only":"failed"}')
    made = Running.of(caller, first.json["id"])
    made.record({0: "a", 1: "b", 2: "c"})
    made.step()
    again = named(b'{"only":"failed"}')
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    assert again.headers["idempotent-replayed"] == "true"
    assert named(b"{}").error == (400, "idempotency_key_reused", "Idempotency-Key")


def test_a_retry_is_validated_and_retried_in_turn(caller: Caller, cancelled: Running) -> None:
    """It is a batch like others, and its own failures can be asked again."""
    made = Running.of(caller, retry(caller, cancelled.id, only="failed").json["id"])
    made.record({0: "a", 2: "c"}, {1: TOO_LONG})
    made.step()
    assert asked_of(caller, retry(caller, made.id)) == lines(3)


def test_blank_lines_do_not_count(caller: Caller) -> None:
    """The input may begin with a byte order mark and have blank lines and no last line end."""
    one, two, three = chat_lines(3).splitlines()
    running = Running(caller, 3, b"\xef\xbb\xbf\n" + one + b"\r\n \n\n" + two + b"\n" + three)
    running.record({0: "a"}, {1: DOWN, 2: DOWN})
    running.step()
    assert asked_of(caller, retry(caller, running.id)) == two + b"\n" + three + b"\n"


def test_what_cannot_be_retried_says_why(caller: Caller) -> None:
    """While it runs, when all went well, when it was refused."""
    running = Running(caller, 1)
    answer = retry(caller, running.id)
    assert (answer.status, answer.headers["x-should-retry"]) == (409, "false")
    assert "'in_progress': wait" in answer.json["error"]["message"]
    running.record({0: "a"})
    running.step()
    answer = retry(caller, running.id)
    assert answer.error == (409, None, None)
    assert "nothing to retry" in answer.json["error"]["message"]
    failed = caller.create().json["id"]
    caller.door.end(failed, "failed")
    assert "Correct its input" in retry(caller, failed).json["error"]["message"]
    assert retry(caller, "batch_none").status == 404
    assert retry(caller.door.caller(), running.id).status == 404


@pytest.mark.parametrize("which", ["input_file_id", "error_file_id"])
def test_deleted_files_say_what_to_do(caller: Caller, cancelled: Running, which: str) -> None:
    """Without the input or the errors nobody knows what to ask again."""
    id = caller.ask("GET", f"/v1/batches/{cancelled.id}").json[which]
    assert caller.ask("DELETE", f"/v1/files/{id}").status == 200
    answer = retry(caller, cancelled.id)
    assert answer.status == 409
    assert id in answer.json["error"]["message"]
    assert "create a batch" in answer.json["error"]["message"].lower()


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"only": "some"}, "only"),
        ({"only": ["failed"]}, "only"),
        ({"codes": "429"}, "codes"),
        ({"codes": []}, "codes"),
        ({"codes": [429]}, "codes"),
        ({"completion_window": "1s"}, "completion_window"),
        ({"metadata": 1}, "metadata"),
    ],
)
def test_what_is_wrong_is_named(
    caller: Caller, cancelled: Running, asked: dict[str, object], param: str
) -> None:
    """Nothing is made of a request that means nothing."""
    answer = retry(caller, cancelled.id, **asked)
    assert (answer.error[0], answer.error[2]) == (400, param)


def test_a_full_disk_leaves_nothing(caller: Caller, cancelled: Running) -> None:
    """Neither a batch nor a file is there when the lines could not be kept."""
    before = caller.ask("GET", "/v1/files").body, caller.ask("GET", "/v1/batches").body
    caller.door.fault = OSError(28, "No space left on device")
    try:
        assert retry(caller, cancelled.id).error == (507, "insufficient_storage", None)
    finally:
        caller.door.fault = None
    after = caller.ask("GET", "/v1/files").body, caller.ask("GET", "/v1/batches").body
    assert before == after
