"""The verbs against Batch APIs of others, with their habits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.client.stand_in import Habits, StandIn


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Somebody else's server, and a user of it in an empty folder."""
    one = StandIn(Habits(upper=True, no_file="", bare_list=True))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OPENAI_BASE_URL", one.url)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    yield one
    one.close()


def told(*words: object) -> list[dict[str, Any]]:
    done = call(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def submitted(stand_in: StandIn, count: int) -> str:
    """The id of a batch that was submitted and has ended."""
    Path("in.jsonl").write_bytes(request_lines(count))
    call("submit", "in.jsonl", "--poll", "0.01")
    id = str(stand_in.batches[-1]["id"])
    return id if ended(id) else ""


def ended(id: str) -> bool:
    """Look until it has ended; each look moves it on."""
    return any(told("status", id)[0]["status"] == "completed" for _ in range(9))


def test_batches_of_others_are_read_alike(stand_in: StandIn) -> None:
    """Statuses in capitals, files that are "", a bare list: the same is shown."""
    id = submitted(stand_in, 3)
    rows = [one for one in told("ls") if one["kind"] == "batch"]
    assert [(one["id"], one["status"]) for one in rows] == [(id, "completed")]
    assert len(told("results", id, "--requests")) == 3
    assert call("why", id).stdout.startswith(f"{id} completed")
    assert call("errors", id).stdout == ""


def test_a_retry_elsewhere_is_a_new_file(stand_in: StandIn) -> None:
    """Of the lines that failed or are missing, byte for byte, linked by its metadata."""
    stand_in.habits.answers = lambda id, time: "400" if id == "c1" and time == 1 else "ok"
    stand_in.habits.skips = {"c3"}
    id = submitted(stand_in, 5)
    stand_in.habits.skips = set()
    (made,) = told("retry", id)
    assert made["metadata"]["batchyard_retry_of"] == id
    sent = stand_in.files[made["input_file_id"]]
    lines = request_lines(5).splitlines(keepends=True)
    assert sent == lines[1] + lines[3]
    (again,) = told("retry", id)
    assert again["id"] == made["id"]
    assert ended(made["id"])
    assert len(stand_in.batches) == 2


def test_a_retry_by_code(stand_in: StandIn) -> None:
    """Only what failed with this code; where there is none, nothing is submitted."""
    stand_in.habits.skips = {"c1"}
    id = submitted(stand_in, 3)
    done = call("retry", id, "--code", "rate_limit_exceeded")
    assert (done.exit_code, "nothing to ask again" in done.stderr) == (1, True)
    assert len(stand_in.batches) == 1
    assert len(told("retry", id, "--code", "missing")) == 1


def test_a_retry_with_more_room(stand_in: StandIn) -> None:
    """With --max-tokens what was cut off is asked again too, and none gets less than it had."""
    stand_in.habits.answers = lambda id, _: {"c1": "length", "c2": "400"}.get(id, "ok")
    id = submitted(stand_in, 3)
    made = told("retry", id, "--code", "length", "--max-tokens", "4096")[0]
    (sent,) = map(json.loads, stand_in.files[made["input_file_id"]].splitlines())
    assert (sent["custom_id"], sent["body"]["max_completion_tokens"]) == ("c1", 4096)
    ended(made["id"])
    (folder,) = told("submit", "in.jsonl", "--folder", "own", "--accept-cut-off", "--poll", "0.01")
    assert call("watch", folder["folder"]).exit_code == 0
    again = told("retry", "own", "--max-tokens", "99999")[0]["folder"]
    sent = [json.loads(line) for line in Path(again, "input.jsonl").read_bytes().splitlines()]
    assert [one["custom_id"] for one in sent] == ["c1", "c2"]
    assert {one["body"]["max_completion_tokens"] for one in sent} == {99_999}


def test_results_before_the_end(stand_in: StandIn) -> None:
    """Others keep them until the end: exit code 7, and nothing on stdout."""
    Path("in.jsonl").write_bytes(request_lines(2))
    call("submit", "in.jsonl", "--poll", "0.01")
    id = stand_in.batches[-1]["id"]
    assert "its server does not say why" in call("why", id).stdout
    done = call("results", id)
    assert (done.exit_code, done.stdout) == (7, "")


def test_errors_before_the_end(stand_in: StandIn) -> None:
    """The same for errors."""
    Path("in.jsonl").write_bytes(request_lines(2))
    call("submit", "in.jsonl", "--poll", "0.01")
    done = call("errors", stand_in.batches[-1]["id"])
    assert (done.exit_code, done.stdout) == (7, "")
