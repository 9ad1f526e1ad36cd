"""Files that come in parts, as the official client sends them and as others might."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from batchyard.places.clock import Clock
from batchyard.server import uploads
from batchyard.server.upkeep import Upkeep
from tests.server.door import Answer, Caller, form

LINE = (
    b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'
)
CONTENT = b"".join(LINE % number for number in range(300))


def begin(caller: Caller, **changed: object) -> str:
    """Begin an upload of CONTENT."""
    asked = {
        "bytes": len(CONTENT),
        "filename": "in.jsonl",
        "mime_type": "application/jsonl",
        "purpose": "batch",
    }
    answer = caller.post("/v1/uploads", asked | changed)
    assert answer.status == 200, answer.body
    id: str = answer.json["id"]
    return id


def send(caller: Caller, upload: str, content: bytes, field: bytes = b"data") -> Answer:
    """Send a part."""
    body = form((b'name="%b"; filename="upload"' % field, content))
    headers = {"content-type": "multipart/form-data; boundary=B"}
    return caller.ask("POST", f"/v1/uploads/{upload}/parts", body, headers)


def part(caller: Caller, upload: str, content: bytes) -> str:
    """Send a part and return its id."""
    answer = send(caller, upload, content)
    assert answer.status == 200, answer.body
    id: str = answer.json["id"]
    return id


def complete(caller: Caller, upload: str, *parts: str, **more: object) -> Answer:
    """Complete an upload with these parts."""
    return caller.post(f"/v1/uploads/{upload}/complete", {"part_ids": parts, **more})


def blobs_of(caller: Caller) -> set[str]:
    """The parts that lie in the folder."""
    return {path.name for path in (caller.door.blobs_folder / "parts").glob("*")}


def sweep(caller: Caller, *, later: int = 0) -> None:
    """Have upkeep look, as if so many seconds had passed."""
    clock = Clock(wall=lambda: caller.door.yard.now() + later, steady=lambda: 0.0)
    yard = caller.door.yard
    asyncio.run(Upkeep(yard.records, yard.blobs, yard.store, clock).sweep_uploads())


def test_the_official_client_sends_a_file_in_chunks(caller: Caller, tmp_path: Path) -> None:
    """`upload_file_chunked` makes a file with the same bytes, from a path and from memory."""
    path = tmp_path / "big.jsonl"
    path.write_bytes(CONTENT)
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    with caller.sdk() as client:
        for upload in (
            client.uploads.upload_file_chunked(
                file=path, mime_type="application/jsonl", purpose="batch", part_size=4_001, md5=md5
            ),
            client.uploads.upload_file_chunked(
                file=CONTENT,
                filename="big.jsonl",
                bytes=len(CONTENT),
                mime_type="application/jsonl",
                purpose="batch",
                part_size=4_001,
            ),
        ):
            assert upload.status == "completed"
            assert upload.file is not None
            assert (upload.expires_at - upload.created_at, upload.bytes) == (3_600, len(CONTENT))
            assert upload.file == client.files.retrieve(upload.file.id)
            assert (upload.file.expires_at or 0) - upload.file.created_at == 2_592_000
            content = client.files.content(upload.file.id)
            assert content.read() == CONTENT
            tag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
            assert tag in content.response.headers["etag"]


def test_parts_come_side_by_side_and_in_any_order(caller: Caller) -> None:
    """The order is that of `part_ids`, not that in which they came."""
    upload = begin(caller)
    pieces = [CONTENT[at : at + 3_000] for at in range(0, len(CONTENT), 3_000)]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda piece: part(caller, upload, piece), pieces[::-1]))[::-1]
    done = complete(caller, upload, *ids)
    assert done.status == 200
    file = done.json["file"]["id"]
    assert caller.ask("GET", f"/v1/files/{file}/content").body == CONTENT
    asked = {"range": "bytes=2990-6010"}
    assert CONTENT[2_990:6_011] == caller.ask("GET", f"/v1/files/{file}/content", None, asked).body


def test_parts_that_were_not_named_go(caller: Caller) -> None:
    """A part that was sent twice, or not meant, is deleted when the upload is complete."""
    upload = begin(caller)
    spare, kept = part(caller, upload, b"not meant"), part(caller, upload, CONTENT)
    assert complete(caller, upload, kept).status == 200
    assert {spare, kept} <= blobs_of(caller)
    sweep(caller)
    assert blobs_of(caller) & {spare, kept} == {kept}
    assert kept in {Path(name).name for name in caller.door.records.named_blobs()}


def test_each_part_may_come_twice(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """But nobody fills the disk with parts that no file will have."""
    monkeypatch.setattr(uploads, "_SENT_BYTES_MIN", 1)
    pieces = (CONTENT[:100], CONTENT[100:])
    upload = begin(caller)
    sent = [part(caller, upload, piece) for piece in pieces for _ in range(2)]
    assert send(caller, upload, b"x").error == (400, None, None)
    assert complete(caller, upload, sent[1], sent[2]).status == 200


def test_what_does_not_fit_is_refused(caller: Caller) -> None:
    """A wrong length, an unknown, a foreign or a repeated part, another checksum: each a 400."""
    upload, other = begin(caller), begin(caller)
    half, rest = part(caller, upload, CONTENT[:100]), part(caller, upload, CONTENT[100:])
    foreign = part(caller, other, CONTENT[100:])
    bad = (400, "invalid_value", "part_ids")
    for ids in ([half], [], [half, rest, "part_none"], [half, foreign], [half, half]):
        assert bad == complete(caller, upload, *ids).error
    wrong = complete(caller, upload, half, rest, md5="0" * 32)
    assert wrong.error == (400, "invalid_value", "md5")
    assert complete(caller, upload, half, rest, md5="x").error == (400, "invalid_value", "md5")
    assert caller.post(f"/v1/uploads/{upload}/complete", {"part_ids": "x"}).error == (
        400,
        "invalid_type",
        "part_ids",
    )
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert complete(caller, upload, half, rest, md5=md5.upper()).status == 200


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"bytes": -1}, "integer_below_min_value", "bytes"),
        ({"bytes": (8 << 30) + 1}, "integer_above_max_value", "bytes"),
        ({"bytes": "9"}, "invalid_type", "bytes"),
        ({"bytes": True}, "invalid_type", "bytes"),
        ({"filename": None}, "missing_required_parameter", "filename"),
        ({"mime_type": None}, "missing_required_parameter", "mime_type"),
        ({"purpose": "play"}, "invalid_value", "purpose"),
        ({"expires_after": {"anchor": "created_at"}}, None, None),
    ],
)
def test_an_upload_is_begun_soundly_or_not(
    caller: Caller, changed: dict[str, object], code: str | None, param: str | None
) -> None:
    """Each wrong parameter is named."""
    asked = {"bytes": 1, "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"} | changed
    answer = caller.post("/v1/uploads", asked)
    expected = (code, param) if code else ("missing_required_parameter", "expires_after.seconds")
    assert answer.error == (400, *expected)


def test_strict_names_end_in_jsonl(strict_caller: Caller) -> None:
    """The strict profile refuses the name before anything is sent."""
    asked = {"bytes": 1, "filename": "a.txt", "mime_type": "x", "purpose": "batch"}
    answer = strict_caller.post("/v1/uploads", asked)
    assert answer.error == (400, None, None)
    assert "Invalid file format for Batch API. Must be .jsonl" in answer.json["error"]["message"]


def test_an_ended_upload_takes_nothing_more(caller: Caller) -> None:
    """Completed, cancelled, expired: no part, no completion, each told by its status."""
    done = begin(caller)
    piece = part(caller, done, CONTENT)
    assert complete(caller, done, piece).status == 200
    with caller.sdk() as client:
        cancelled = client.uploads.cancel(begin(caller))
        assert cancelled.status == "cancelled"
        assert client.uploads.cancel(cancelled.id) == cancelled
    for upload, status in ((done, "completed"), (cancelled.id, "cancelled")):
        for answer in (send(caller, upload, b"x"), complete(caller, upload, piece)):
            assert answer.error == (400, None, None)
            assert f"'{status}'" in answer.json["error"]["message"]
    assert caller.post(f"/v1/uploads/{done}/cancel", {}).error == (400, None, None)


def test_an_upload_expires_after_an_hour(caller: Caller) -> None:
    """Its parts go, and it takes no more; after a day its row goes too."""
    upload = begin(caller)
    piece = part(caller, upload, b"x")
    sweep(caller, later=3_500)
    assert piece in blobs_of(caller)
    sweep(caller, later=3_601)
    assert piece not in blobs_of(caller)
    answer = send(caller, upload, b"x")
    assert "'expired'" in answer.json["error"]["message"]
    assert answer.error == (400, None, None)
    sweep(caller, later=3_601 + 86_400)
    assert send(caller, upload, b"x").error == (404, None, "id")


def test_a_cancelled_upload_leaves_nothing(caller: Caller) -> None:
    """Its parts are deleted, and the yard is told to look."""
    upload = begin(caller)
    piece, rings = part(caller, upload, b"x"), caller.door.rings
    assert caller.post(f"/v1/uploads/{upload}/cancel", {}).status == 200
    assert rings + 1 == caller.door.rings
    sweep(caller)
    assert piece not in blobs_of(caller)


def test_anothers_upload_is_a_missing_one(caller: Caller, door: object) -> None:
    """Parts, completion and cancellation answer exactly as for an id that never was."""
    upload, other = begin(caller), caller.door.caller()
    for id in (upload, "upload_none"):
        for answer in (
            send(other, id, b"x"),
            complete(other, id),
            other.post(f"/v1/uploads/{id}/cancel", {}),
        ):
            assert answer.error == (404, None, "id")
            assert answer.json["error"]["message"] == f"No such Upload object: {id}"


def test_a_part_is_a_file_field(caller: Caller) -> None:
    """The field is called `data` and has a file name, and 64 MiB at most."""
    upload = begin(caller)
    assert send(caller, upload, b"x", field=b"file").error[2] in ("data", "file")
    head = f"POST /v1/uploads/{upload}/parts HTTP/1.1\r\nhost: x\r\n"
    head += f"authorization: Bearer {caller.secret}\r\ncontent-length: 99999999\r\n"
    head += "content-type: multipart/form-data; boundary=B\r\n\r\n"
    with caller.door.connect() as connection:
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(65_536).split(b"\r\n")[0]


def test_a_damaged_part_makes_no_file(caller: Caller) -> None:
    """A part that vanished is told as such, and the upload stays as it was."""
    upload = begin(caller)
    piece = part(caller, upload, CONTENT)
    (caller.door.blobs_folder / "parts" / piece).unlink()
    assert complete(caller, upload, piece).error == (500, "file_corrupt", None)
    assert complete(caller, upload, part(caller, upload, CONTENT)).status == 200


def test_a_missing_file_name_is_refused(caller: Caller) -> None:
    """The official client raises what it raises for OpenAI."""
    with caller.sdk() as client, pytest.raises(openai.BadRequestError):
        client.uploads.create(bytes=1, filename="a", mime_type="x", purpose="nothing")  # type: ignore[arg-type]
