"""Bytes whose row could not be written: a refused request leaves none behind."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.server.door import LINE, Answer, Caller, Door, form
from tests.server.recorded import Running

LOCKED = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))
FORM = {"content-type": "multipart/form-data; boundary=B"}


def blobs_of(door: Door) -> set[str]:
    """The names of all blobs there are."""
    return set(door.yard.blobs.names())


def upload(caller: Caller) -> Callable[[], Answer]:
    """A file comes whole."""
    parts = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', LINE))
    return lambda: caller.post_form(parts)


def add_part(caller: Caller) -> Callable[[], Answer]:
    """A part of a file comes."""
    asked = {"filename": "a", "purpose": "batch", "bytes": 1, "mime_type": "text/plain"}
    id = caller.post("/v1/uploads", asked).json["id"]
    part = form((b'name="data"; filename="p"', b"x"))
    return lambda: caller.ask("POST", f"/v1/uploads/{id}/parts", part, FORM)


def retry(caller: Caller) -> Callable[[], Answer]:
    """The lines of a batch that failed are written as a file of their own."""
    running = Running(caller, 2)
    running.record({0: "a"}, {1: (500, {})})
    running.step()
    return lambda: caller.post(f"/v1/batches/{running.id}/retry", {})


DOORS = {"add_file": upload, "add_part": add_part, "add_retry": retry}


@pytest.mark.parametrize("fault", [LOCKED, OSError(5, "Input/output error")], ids=["locked", "EIO"])
@pytest.mark.parametrize("written", [False, True], ids=["not written", "written all the same"])
@pytest.mark.parametrize("name", DOORS)
def test_bytes_stay_only_where_their_row_does(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fault: Exception,
    *,
    written: bool,
) -> None:
    """Who tries again and again does not fill the disk, and no row is without its bytes."""
    ask, records = DOORS[name](caller), caller.door.records
    write: Callable[..., Any] = getattr(records, name)

    def failing(*args: Any) -> Any:
        if written:
            write(*args)
        raise fault

    before = blobs_of(caller.door)
    monkeypatch.setattr(records, name, failing)
    for _ in range(2):
        answer = ask()
        assert answer.error == (503, None, None)
        assert int(answer.headers["retry-after"]) > 0
        if written:
            break
    left = blobs_of(caller.door) - before
    assert len(left) == (1 if written else 0)
    monkeypatch.undo()
    if written and name == "add_file":
        (file,) = caller.ask("GET", "/v1/files").json["data"]
        assert caller.ask("GET", f"/v1/files/{file['id']}/content").body == LINE
