"""A server that dies while it makes something: the same request, sent again, makes it once."""

import http.client
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from batchyard.places.store import Store
from tests.server.door import LINE, Answer, Caller, Door, form
from tests.server.recorded import Running, chat_lines

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=B"}
CHAT = "/v1/chat/completions"
# The first request and the one sent again, as a client may make them known.
NAMED = ({"idempotency-key": "the only one"}, {"idempotency-key": "the only one"})
SILENT = ({"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"})


class Dead(BaseException):
    """The process is gone: nothing of it goes on."""


class House:
    """A folder with a server in it, which dies where it is told to and is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open()
        self.caller = self.door.caller()
        self.project = next(k.project_id for k in self.door.identity.all_keys())

    def _open(self) -> None:
        self.door, self.dead = Door(self._folder), False

    def die_in(self, rows: Any, verb: str, when: str) -> None:
        """Die at the commit of this call: `before` it or `after`."""
        store = rows._store = _Mortal(self, rows._store)
        real = getattr(rows, verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            store.dies = when
            try:
                return real(*args, **kwargs)
            finally:
                store.dies = None

        setattr(rows, verb, call)
        for thread in (self.door.yard.store, self.door.yard.disk):
            self._make_mortal(thread)

    def _make_mortal(self, thread: Any) -> None:
        run = thread.run

        async def run_alive(*args: Any, **kwargs: Any) -> Any:
            if self.dead:
                raise Dead
            return await run(*args, **kwargs)

        thread.run = run_alive

    def start_again(self) -> None:
        """Sweep up what is left of the process, and start another over what it left."""
        self.door.close()
        self._open()
        self.caller = Caller(self.door, self.caller.secret, self.caller.key_id)

    def used(self) -> int:
        """The tokens that count as enqueued; the audit of a start finds nothing to put right."""
        assert self.door.records.audit_quota(self.door.yard.now()) == 0
        return sum(one.used for one in self.door.records.headroom(self.project))


class _Mortal(Store):
    """The store as a process reaches it that may die at a commit."""

    dies: str | None = None

    def __init__(self, house: House, store: Store) -> None:
        self._house, self._real = house, store

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._real.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._real.writing() as connection:
            yield connection
            self._die("before")
        self._die("after")

    def _die(self, when: str) -> None:
        if when == self.dies:
            self._house.dead = True
            raise Dead


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has all its tables, which takes a second to make."""
    folder = tmp_path_factory.mktemp("blank")
    Door(folder).close()
    return folder


@pytest.fixture
def house(blank: Path, tmp_path: Path) -> Iterator[House]:
    one = House(Path(shutil.copytree(blank, tmp_path / "house")))
    yield one
    one.door.close()


def send_file(caller: Caller, _: str, headers: dict[str, str]) -> Answer:
    """Upload a file."""
    body = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', LINE))
    return caller.ask("POST", "/v1/files", body, FORM | headers)


def begin_upload(caller: Caller, _: str, headers: dict[str, str]) -> Answer:
    """Begin an upload in parts."""
    asked = {"bytes": len(LINE), "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}
    return caller.ask("POST", "/v1/uploads", msgspec.json.encode(asked), JSON | headers)


def complete_upload(caller: Caller, id: str, headers: dict[str, str]) -> Answer:
    """Complete an upload with all its parts, which are named in the order of their coming."""
    parts = id.split()[1:]
    path = f"/v1/uploads/{id.split()[0]}/complete"
    return caller.ask("POST", path, msgspec.json.encode({"part_ids": parts}), JSON | headers)


def create_batch(caller: Caller, id: str, headers: dict[str, str]) -> Answer:
    """Create a batch."""
    asked = {"input_file_id": id, "endpoint": CHAT, "completion_window": "24h"}
    return caller.ask("POST", "/v1/batches", msgspec.json.encode(asked), JSON | headers)


def ready(caller: Caller, verb: str) -> str:
    """What has to be there before: a file, or an upload with parts."""
    if verb == "add_batch":
        return caller.upload(chat_lines(3))
    if verb != "complete_upload":
        return ""
    upload = begin_upload(caller, "", {}).json["id"]
    path, parts = f"/v1/uploads/{upload}/parts", []
    for piece in (LINE[:10], LINE[10:]):
        part = caller.ask("POST", path, form((b'name="data"; filename="a"', piece)), FORM)
        parts.append(part.json["id"])
    return " ".join([upload, *parts])


def there(house: House, verb: str) -> list[str]:
    """The ids of what such requests make."""
    if verb == "add_upload":
        with house.door._store.reading() as connection:
            return list(connection.exec_driver_sql("select id from uploads").scalars())
    path = "batches" if verb == "add_batch" else "files"
    return [one["id"] for one in house.caller.ask("GET", f"/v1/{path}").json["data"]]


MAKERS: dict[str, Callable[[Caller, str, dict[str, str]], Answer]] = {
    "add_file": send_file,
    "add_upload": begin_upload,
    "complete_upload": complete_upload,
    "add_batch": create_batch,
}


def cut_short(house: House, verb: str, id: str, headers: dict[str, str]) -> None:
    """Ask; the server dies instead of answering."""
    try:
        answer = MAKERS[verb](house.caller, id, headers)
    except (http.client.HTTPException, OSError):
        pass
    else:
        assert answer.status == 500
    assert house.dead


@pytest.mark.parametrize("known", [NAMED, SILENT], ids=["named", "silent"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", MAKERS)
def test_what_a_crash_cut_short_is_made_once(
    house: House, verb: str, when: str, known: tuple[dict[str, str], dict[str, str]]
) -> None:
    """Before the commit or after it, by its name or as a silent re-send: one object, never two."""
    id = ready(house.caller, verb)
    house.die_in(house.door.records, verb, when)
    cut_short(house, verb, id, known[0])
    house.start_again()
    before = there(house, verb)
    assert len(before) == (when == "after")
    again = [MAKERS[verb](house.caller, id, known[1]) for _ in range(2)]
    assert [one.status for one in again] == [200, 200]
    assert again[0].json["id"] == again[1].json["id"]
    made = again[0].json.get("file") or again[0].json
    assert before in ([], [made["id"]])
    assert there(house, verb) == [made["id"]]
    if verb in ("add_file", "complete_upload"):
        assert house.caller.ask("GET", f"/v1/files/{made['id']}/content").body == LINE
    if verb == "add_batch":
        running = Running.of(house.caller, made["id"])
        (asked,) = house.door.records.headroom(house.project)
        assert [one.batch_id for one in asked.holders] == [running.id]
        assert house.used() == asked.used > 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_is_completed_once_without_any_name(house: House, when: str) -> None:
    """Who sends it again and does not say so is told that it is done; there is one file."""
    id = ready(house.caller, "complete_upload")
    house.die_in(house.door.records, "complete_upload", when)
    cut_short(house, "complete_upload", id, {})
    house.start_again()
    answer = complete_upload(house.caller, id, {})
    if when == "before":
        assert answer.status == 200
    else:
        assert answer.error == (400, None, None)
        assert "'completed'" in answer.json["error"]["message"]
    (file,) = there(house, "complete_upload")
    assert house.caller.ask("GET", f"/v1/files/{file}/content").body == LINE


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["populate", "finish"])
def test_a_crash_neither_keeps_nor_loses_tokens(house: House, verb: str, when: str) -> None:
    """G10: they are held from the validation until the end, whatever the worker did last."""
    id = create_batch(house.caller, house.caller.upload(chat_lines(3)), {}).json["id"]
    running = Running.of(house.caller, id) if verb == "finish" else None
    if running is not None:
        running.record({0: "a", 1: "b", 2: "c"})
        running.release()
    held = house.used()
    house.die_in(house.door.work, verb, when)
    with pytest.raises(Dead):
        running.step() if running is not None else Running.of(house.caller, id)
    house.start_again()
    house.door.work.bury_all()
    status = house.caller.ask("GET", f"/v1/batches/{id}").json["status"]
    if verb == "finish":
        assert (held > 0, status) == (True, "completed" if when == "after" else "finalizing")
        assert house.used() == (0 if when == "after" else held)
    else:
        assert (held, status) == (0, "in_progress" if when == "after" else "validating")
        assert (house.used() > 0) == (when == "after")
