"""Storage that fails: what is answered, and that nothing is left."""

import errno
import random
import sqlite3
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlalchemy.exc import OperationalError

from batchyard.places.store import is_full
from batchyard.wire.ids import file_id, request_id
from tests.server.door import LINE, Caller, form

ASKED = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a"', LINE))
FULL = (507, "insufficient_storage", None)


@pytest.fixture
def failing(small_caller: Caller) -> Caller:
    """A caller at a door of their own, which can be made to fail."""
    return small_caller


def left(caller: Caller) -> list[Path]:
    """What lies in the folder."""
    return [path for path in caller.door.blobs_folder.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize(
    ("fault", "error", "header"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FULL, ("x-should-retry", "false")),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), FULL, ("x-should-retry", "false")),
        (OSError(errno.EIO, "Input/output error"), (503, None, None), ("retry-after", "5")),
        (OSError(errno.EROFS, "Read-only file system"), (503, None, None), ("retry-after", "5")),
    ],
    ids=["full", "over its quota", "broken", "read-only"],
)
def test_a_failing_disk_is_no_fault_of_the_client(
    failing: Caller, fault: OSError, error: tuple[int, str | None, None], header: tuple[str, str]
) -> None:
    """A full disk is 507, another fault 503; nothing is left, and the next upload succeeds."""
    upload = failing.post(
        "/v1/uploads", {"bytes": 1, "filename": "a", "mime_type": "x", "purpose": "batch"}
    ).json["id"]
    part = form((b'name="data"; filename="a"', b"x"))
    headers = {"content-type": "multipart/form-data; boundary=B"}
    failing.door.fault = fault
    for path, body in (("/v1/files", ASKED), (f"/v1/uploads/{upload}/parts", part)):
        answer = failing.ask("POST", path, body, headers)
        assert answer.error == error
        assert answer.headers[header[0]] == header[1]
        assert left(failing) == []
    failing.door.fault = None
    assert failing.ask("GET", "/v1/files").json["data"] == []
    assert failing.post_form(ASKED).status == 200
    assert failing.ask("POST", f"/v1/uploads/{upload}/parts", part, headers).status == 200


def test_a_disk_that_fills_in_the_middle_of_a_file(caller: Caller) -> None:
    """The official client is told while it still sends, does not send again, and leaves nothing."""
    foretold = random.Random(7)
    request_id(foretold)
    blob = caller.door.blobs_folder / "inputs" / f"{file_id(foretold)}.unfinished"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.symlink_to("/dev/full")
    before = set(left(caller)) - {blob}
    yard = caller.door.yard
    usual = yard.chance
    object.__setattr__(yard, "chance", random.Random(7))
    try:
        with caller.sdk(max_retries=2) as client, pytest.raises(openai.APIStatusError) as raised:
            client.files.create(file=("a.jsonl", bytes(30_000_000)), purpose="batch")
    finally:
        object.__setattr__(yard, "chance", usual)
    assert (raised.value.status_code, raised.value.code) == (507, "insufficient_storage")
    assert set(left(caller)) == before
    assert caller.ask("GET", "/v1/files").json["data"] == []


def test_a_database_without_room_is_known(tmp_path: Path) -> None:
    """SQLite says it in a way of its own; other faults of it are no lack of room."""
    with sqlite3.connect(tmp_path / "small.sqlite") as connection:
        connection.execute("CREATE TABLE t (bytes BLOB)")
        connection.execute("PRAGMA max_page_count=2")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        with pytest.raises(sqlite3.OperationalError) as other:
            connection.execute("nonsense")
    connection.close()
    assert is_full(OperationalError("INSERT", {}, full.value))
    assert not is_full(OperationalError("nonsense", {}, other.value))


@pytest.mark.parametrize("written", [False, True], ids=["not written", "written"])
@pytest.mark.parametrize("verb", ["add_file", "add_part"])
def test_bytes_without_a_row_are_taken_away(
    failing: Caller, verb: str, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that fails at its row leaves nothing; one whose row is there after all, all."""
    asked = {"bytes": 1, "filename": "a", "mime_type": "x", "purpose": "batch"}
    upload = failing.post("/v1/uploads", asked).json["id"]
    path = {"add_file": "/v1/files", "add_part": f"/v1/uploads/{upload}/parts"}[verb]
    body = ASKED if verb == "add_file" else form((b'name="data"; filename="a"', b"x"))
    real = getattr(failing.door.records, verb)

    def fail(*args: Any, **kwargs: Any) -> None:
        if written:
            real(*args, **kwargs)
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(failing.door.records, verb, fail)
    headers = {"content-type": "multipart/form-data; boundary=B"}
    assert failing.ask("POST", path, body, headers).error == (503, None, None)
    assert len(left(failing)) == written
