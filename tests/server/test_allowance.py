"""Batches in an hour and bytes that are stored: what is too much is refused in time."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from batchyard.rules.limits import RELAXED
from tests.server.door import LINE, Caller, Door


@pytest.fixture
def poor_caller(tmp_path: Path) -> Iterator[Caller]:
    """A caller who may create three batches an hour, and store two lines."""
    limits = msgspec.structs.replace(
        RELAXED, batches_per_hour_max=3, stored_bytes_max=2 * len(LINE)
    )
    door = Door(tmp_path, limits)
    yield door.caller()
    door.close()


def test_one_batch_more_than_an_hour_has_is_refused(poor_caller: Caller) -> None:
    """429, with the time at which there is room again; another project is not concerned."""
    for _ in range(3):
        assert poor_caller.create().status == 200
    answer = poor_caller.create()
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (429, "rate_limit_exceeded")
    assert 3_590 < int(answer.headers["retry-after"]) <= 3_600
    assert answer.headers["x-should-retry"] == "false"
    assert poor_caller.door.caller().create().status == 200


def test_bytes_beyond_the_storage_are_refused(poor_caller: Caller) -> None:
    """By a file or an upload; what is deleted makes room."""
    ids = [poor_caller.upload() for _ in range(2)]
    body = {"filename": "a.jsonl", "purpose": "batch", "mime_type": "application/jsonl"}
    answer = poor_caller.post("/v1/uploads", body | {"bytes": 1})
    assert answer.error == (400, "storage_limit_exceeded", "file")
    assert "Delete files" in answer.json["error"]["message"]
    with pytest.raises(AssertionError, match="storage_limit_exceeded"):
        poor_caller.upload()
    assert poor_caller.ask("DELETE", f"/v1/files/{ids[0]}").status == 200
    assert poor_caller.post("/v1/uploads", body | {"bytes": len(LINE) + 1}).status == 400
    assert poor_caller.post("/v1/uploads", body | {"bytes": len(LINE)}).status == 200
