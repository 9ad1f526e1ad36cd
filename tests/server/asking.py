"""Two projects that ask a door about files and uploads, and know what must be answered."""

import http.client
import json
import time
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule

from batchyard.places.clock import Clock
from batchyard.places.store import open_store
from batchyard.places.store.schema import metadata
from tests.server.door import Answer, Caller, Door, form
from tests.server.modelled import KnownFile, KnownUpload, check_page
from tests.server.recorded import chat_lines

__all__ = ["DAY", "GOOD", "JSON", "MONTH", "OWNERS", "STRANGERS", "Asking", "House"]

EPOCH = 1_800_000_000
FORM = {"content-type": "multipart/form-data; boundary=B"}
JSON = {"content-type": "application/json"}
# What is uploaded, and how many good lines it has; None where a batch of it must fail.
GOOD = (chat_lines(3), 3)
CONTENTS = [GOOD, GOOD, (chat_lines(1), 1), (b"nonsense\n", None), (b"", None)]
OWNERS = st.integers(0, 1)
# Whoever asks is mostly the owner.
STRANGERS = st.sampled_from([0, 0, 0, 0, 1])
DAY, MONTH = 86_400, 2_592_000


class House:
    """A door whose clock goes only when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.now = EPOCH
        self.clock = Clock(wall=lambda: self.now, steady=time.monotonic)
        self.door = Door(folder, clock=self.clock)
        self._store = open_store(f"sqlite:///{folder / 'door.sqlite'}")

    def empty(self) -> None:
        """Forget all that was."""
        with self._store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())

    def close(self) -> None:
        """Close for good."""
        self._store.close()
        self.door.close()


class Asking(RuleBasedStateMachine):
    """Two projects that ask about files; no answer may be of our own fault."""

    files: Bundle[KnownFile] = Bundle("files")
    uploads: Bundle[KnownUpload] = Bundle("uploads")

    house: ClassVar[House]

    def __init__(self) -> None:
        super().__init__()
        self.door = self.house.door
        self.callers: tuple[Caller, Caller] = (self.door.caller(), self.door.caller())
        self.lines = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=10)
        # Who asked since all was looked at.
        self.owners: set[int] = set()
        # In the order in which they were made.
        self.all_files: list[KnownFile] = []
        self.all_uploads: list[KnownUpload] = []

    def teardown(self) -> None:
        """End one life of it."""
        self.lines.close()
        self.house.empty()

    @property
    def now(self) -> int:
        """What time it is."""
        return self.house.now

    def ask(
        self,
        owner: int,
        verb: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask on the one connection; every answer must be one to a client."""
        sent = {**self.callers[owner].auth, **(headers or {})}
        self.lines.request(verb, path, body, sent)
        got = self.lines.getresponse()
        fields = {name.lower(): value for name, value in got.getheaders()}
        answer = Answer(got.status, fields, got.read())
        assert answer.status < 500, (verb, path, answer)
        self.owners.add(owner)
        return answer

    def missing(self, owner: int, verb: str, path: str, id: str, **sent: Any) -> None:
        """What is not theirs, or is gone, is answered like what never was."""
        never = "x" * len(id)
        real, other = (self.ask(owner, verb, path.format(one), **sent) for one in (id, never))
        assert (real.status, real.body) == (404, other.body.replace(never.encode(), id.encode()))

    # Files

    @rule(
        target=files,
        owner=OWNERS,
        what=st.sampled_from(CONTENTS),
        purpose=st.sampled_from(["batch", "batch", "batch", "user_data"]),
        seconds=st.sampled_from([None, None, 3_600]),
    )
    def upload(
        self, owner: int, what: tuple[bytes, int | None], purpose: str, seconds: int | None
    ) -> KnownFile:
        """A file comes whole, and may have a lifetime of its own."""
        fields = [(b'name="purpose"', purpose.encode())]
        if seconds is not None:
            fields.append((b'name="expires_after[anchor]"', b"created_at"))
            fields.append((b'name="expires_after[seconds]"', b"%d" % seconds))
        body = form(*fields, (b'name="file"; filename="in.jsonl"', what[0]))
        answer = self.ask(owner, "POST", "/v1/files", body, FORM)
        lifetime = seconds or (MONTH if purpose == "batch" else None)
        return self.made_file(owner, answer.json, what, purpose, lifetime)

    def made_file(
        self,
        owner: int,
        shown: dict[str, Any],
        what: tuple[bytes | None, int | None],
        purpose: str,
        lifetime: int | None,
    ) -> KnownFile:
        """Note a file that was made now."""
        end = None if lifetime is None else self.now + lifetime
        made = KnownFile(shown["id"], owner, what[0], purpose, self.now, end, lines=what[1])
        self.all_files.append(made)
        assert made.shown.items() <= shown.items()
        return made

    @rule(file=files, stranger=STRANGERS)
    def delete(self, file: KnownFile, stranger: int) -> None:
        """A file is deleted once, by its owner."""
        owner = file.owner ^ stranger
        path = "/v1/files/{}"
        if file.owner != owner or not file.lives(self.now):
            self.missing(owner, "DELETE", path, file.id)
            return
        answer = self.ask(owner, "DELETE", path.format(file.id))
        assert answer.json == {"id": file.id, "object": "file", "deleted": True}
        file.gone_at = self.now

    @rule(file=files, stranger=STRANGERS)
    def read(self, file: KnownFile, stranger: int) -> None:
        """A file is shown as it came, as long as it lives."""
        owner = file.owner ^ stranger
        if file.owner != owner or not file.lives(self.now):
            for path in ("/v1/files/{}", "/v1/files/{}/content"):
                self.missing(owner, "GET", path, file.id)
            return
        shown = self.ask(owner, "GET", f"/v1/files/{file.id}").json
        assert file.shown.items() <= shown.items()
        answer = self.ask(owner, "GET", f"/v1/files/{file.id}/content")
        if file.purpose == "user_data":
            assert answer.error == (400, None, None)
        elif file.content is not None:
            assert (answer.status, answer.body) == (200, file.content)

    @rule(owner=OWNERS, limit=st.integers(1, 3), ascending=st.booleans())
    def page_through_files(self, owner: int, limit: int, ascending: bool) -> None:
        """Page by page come all that live, each once, in their order."""
        own = [one for one in self.all_files if one.owner == owner and one.lives(self.now)]
        expected = [one.id for one in (own if ascending else own[::-1])]
        path = f"/v1/files?limit={limit}&order={'asc' if ascending else 'desc'}"
        self.page_through(owner, path, expected, limit)

    def page_through(self, owner: int, path: str, expected: list[str], limit: int) -> None:
        """Ask for page after page, until all of what is expected has come."""
        after = ""
        while True:
            page = self.ask(owner, "GET", path + after).json
            check_page(page, expected, limit)
            expected = expected[limit:]
            if not page["has_more"]:
                return
            after = f"&after={page['last_id']}"

    # Uploads

    @rule(target=uploads, owner=OWNERS, content=st.sampled_from([b"", chat_lines(3)]))
    def begin_upload(self, owner: int, content: bytes) -> KnownUpload:
        """A file is announced that will come in parts."""
        asked = {
            "bytes": len(content),
            "filename": "in.jsonl",
            "mime_type": "application/jsonl",
            "purpose": "batch",
        }
        answer = self.ask(owner, "POST", "/v1/uploads", json.dumps(asked).encode(), JSON)
        assert (answer.json["status"], answer.json["file"]) == ("pending", None)
        made = KnownUpload(answer.json["id"], owner, content, self.now + 3_600)
        self.all_uploads.append(made)
        return made

    @rule(upload=uploads, stranger=STRANGERS, share=st.integers(1, 2))
    def add_part(self, upload: KnownUpload, stranger: int, share: int) -> None:
        """The next part comes, which may be the rest or half of it, or too much."""
        at = sum(map(len, upload.parts.values()))
        rest = upload.content[at:]
        text = rest[: -(-len(rest) // share)] or b"too much"
        sent: dict[str, Any] = {"body": form((b'name="data"; filename="p"', text)), "headers": FORM}
        answer = self._of_upload(upload, stranger, "parts", **sent)
        if answer is not None:
            assert answer.json["upload_id"] == upload.id
            upload.parts[answer.json["id"]] = text

    @rule(target=files, upload=uploads, stranger=STRANGERS, backwards=st.booleans())
    def complete(self, upload: KnownUpload, stranger: int, backwards: bool) -> Any:
        """Parts of the length that was announced become a file, in the order that is given."""
        ids = list(upload.parts)[:: -1 if backwards else 1]
        content = b"".join(upload.parts[id] for id in ids)
        sent: dict[str, Any] = {"body": json.dumps({"part_ids": ids}).encode(), "headers": JSON}
        fits = len(content) == len(upload.content)
        answer = self._of_upload(upload, stranger, "complete", fits=fits, **sent)
        if answer is None:
            return multiple()
        assert answer.json["status"] == "completed"
        upload.ended = "completed"
        lines = 3 if content and content == upload.content else None
        return self.made_file(upload.owner, answer.json["file"], (content, lines), "batch", MONTH)

    @rule(upload=uploads, stranger=STRANGERS)
    def cancel_upload(self, upload: KnownUpload, stranger: int) -> None:
        """An upload is given up; to do so twice is no fault."""
        answer = self._of_upload(upload, stranger, "cancel", again="cancelled")
        if answer is not None:
            assert answer.json["status"] == "cancelled"
            upload.ended = "cancelled"

    def _of_upload(
        self,
        upload: KnownUpload,
        stranger: int,
        verb: str,
        *,
        fits: bool = True,
        again: str = "",
        **sent: Any,
    ) -> Answer | None:
        """Ask something of an upload; None where that was rightly refused."""
        path, owner = f"/v1/uploads/{{}}/{verb}", upload.owner ^ stranger
        if stranger or upload.forgotten:
            self.missing(owner, "POST", path, upload.id, **sent)
            return None
        answer = self.ask(owner, "POST", path.format(upload.id), **sent)
        if upload.status(self.now) not in ("pending", again):
            assert answer.error == (400, None, None)
            assert f"'{upload.status(self.now)}'" in answer.json["error"]["message"]
            return None
        if not fits:
            assert answer.error == (400, "invalid_value", "part_ids")
            return None
        assert answer.status == 200
        return answer
