"""Files, as the official client uses them."""

import hashlib
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import openai
import pytest
from openai import OpenAI

from batchyard.places.store.rows import FileRow, Part
from batchyard.rules.validate import Digest
from tests.server.door import LINE, Caller, form

CONTENT = b"".join(b"%04d\n" % number for number in range(2_000))


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    with caller.sdk() as client:
        yield client


@pytest.fixture
def strict_client(strict_caller: Caller) -> Iterator[OpenAI]:
    with strict_caller.sdk() as client:
        yield client


def test_a_file_comes_back_as_it_was(client: OpenAI) -> None:
    """Upload, retrieve, content: one and the same file, at once."""
    made = client.files.create(file=("in.jsonl", LINE), purpose="batch")
    assert (len(LINE), "in.jsonl", "batch", "processed") == (
        made.bytes,
        made.filename,
        made.purpose,
        made.status,
    )
    assert (made.expires_at or 0) - made.created_at == 2_592_000
    assert made == client.files.retrieve(made.id)
    assert made == client.files.wait_for_processing(made.id)
    assert [made] == list(client.files.list())
    content = client.files.content(made.id)
    assert content.read() == LINE
    assert content.response.headers["content-type"] == "application/jsonl"


def test_a_deleted_file_is_gone(client: OpenAI, caller: Caller) -> None:
    """Delete answers once; from then on the file never was, and the yard is told."""
    made = client.files.create(file=("in.jsonl", LINE), purpose="batch")
    rings = caller.door.rings
    deleted = client.files.delete(made.id)
    assert (made.id, "file", True) == (deleted.id, deleted.object, deleted.deleted)
    assert rings + 1 == caller.door.rings
    for call in (client.files.delete, client.files.retrieve, client.files.content):
        with pytest.raises(openai.NotFoundError) as raised:
            call(made.id)
        assert f"No such File object: {made.id}" == raised.value.body["message"]  # type: ignore[index]
        assert (raised.value.code, raised.value.param) == (None, "id")
    assert list(client.files.list()) == []


def test_a_lifetime_can_be_given(client: OpenAI) -> None:
    """`expires_after` counts from the creation; other purposes than batch never expire."""
    hour = client.files.create(
        file=("in.jsonl", LINE),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert (hour.expires_at or 0) - hour.created_at == 3_600
    assert client.files.create(file=("a.txt", b"x"), purpose="user_data").expires_at is None


@pytest.mark.parametrize("name", ["upload", "tmp1a2b", "in.txt", "in.jsonl"])
def test_relaxed_names_are_any(client: OpenAI, name: str) -> None:
    """The relaxed profile does not look at names."""
    assert name == client.files.create(file=(name, LINE), purpose="batch").filename


def test_strict_names_end_in_jsonl(strict_client: OpenAI) -> None:
    """The strict profile refuses a batch file of another name, in OpenAI's words."""
    with pytest.raises(openai.BadRequestError, match=r"Invalid file format for Batch API\. Must"):
        strict_client.files.create(file=("in.txt", LINE), purpose="batch")
    for name, purpose in (("in.txt", "user_data"), ("in.jsonl", "batch")):
        made = strict_client.files.create(file=(name, LINE), purpose=purpose)  # type: ignore[arg-type]
        assert name == made.filename


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}\n", b"\xff\xfe", b"\n\n"])
def test_bad_content_is_no_reason_to_refuse(client: OpenAI, caller: Caller, content: bytes) -> None:
    """What is wrong with the lines is kept for the batch to tell."""
    made = client.files.create(file=("in.jsonl", content), purpose="batch")
    project = _project(caller)
    kept = caller.door.records.content(project, made.id, made.created_at)
    assert kept is not None
    assert kept.digest is not None
    digest = msgspec.json.decode(kept.digest, type=Digest)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (digest.bytes, kept.sha256)


def test_lists_are_paged(client: OpenAI) -> None:
    """Newest first unless asked otherwise, page by page, nothing twice."""
    ids = [client.files.create(file=("a", b"x"), purpose="vision").id for _ in range(5)]
    kept = client.files.create(file=("b", b"x"), purpose="batch").id
    assert ids[::-1] == [file.id for file in client.files.list(limit=2, purpose="vision")]
    assert [*ids, kept] == [file.id for file in client.files.list(limit=2, order="asc")]
    page = client.files.list(limit=2)
    assert (True, [kept, ids[4]]) == (page.has_more, [file.id for file in page.data])
    assert client.files.list(after="file-unknown").data == []
    assert client.files.list(purpose="nothing").data == []


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
def test_some_purposes_are_not_downloaded(caller: Caller, purpose: str) -> None:
    """400 in OpenAI's words."""
    answer = caller.ask("GET", f"/v1/files/{caller.upload(purpose=purpose)}/content")
    assert answer.error == (400, None, None)
    message = answer.json["error"]["message"]
    assert message == f"Not allowed to download files of purpose: {purpose}"


def test_content_is_an_attachment(caller: Caller) -> None:
    """No browser shows it as a page; its tag is its hash."""
    answer = caller.ask("GET", f"/v1/files/{caller.upload(CONTENT)}/content")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"in.jsonl\"; filename*=UTF-8''in.jsonl"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f'"{hashlib.sha256(CONTENT).hexdigest()}"' == answer.headers["etag"]
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.body == CONTENT


@pytest.mark.parametrize(
    ("name", "plain"),
    [("größe.jsonl", "gr__e.jsonl"), ('a"b;c%41.jsonl', "a_b;c_41.jsonl"), ("日本", "__")],
)
def test_a_name_is_told_to_those_who_know_only_ascii(caller: Caller, name: str, plain: str) -> None:
    """`curl -OJ` reads the one, browsers the other."""
    part = b"name=\"file\"; filename*=utf-8''" + quote(name).encode()
    made = caller.post_form(form((b'name="purpose"', b"batch"), (part, CONTENT))).json
    assert made["filename"] == name
    headers = caller.ask("HEAD", f"/v1/files/{made['id']}/content").headers
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    assert headers["content-disposition"] == disposition


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"nonsense\n", b"1\n" * 30_000, b"\x1f\x8b\xff"]
)
def test_the_strict_profile_refuses_what_has_no_request(
    caller: Caller, strict_caller: Caller, content: bytes
) -> None:
    """As OpenAI does; elsewhere a batch tells line by line what is wrong."""
    parts = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', content))
    answer = strict_caller.post_form(parts)
    assert answer.error == (400, None, None)
    assert answer.json["error"]["message"] == "Invalid file format for Batch API. Must be .jsonl"
    assert strict_caller.ask("GET", "/v1/files").json["data"] == []
    assert caller.post_form(parts).status == 200
    assert strict_caller.upload(LINE + b"nonsense")


RANGES = [
    ("bytes=0-", 206, slice(0, None)),
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=4990-5009", 206, slice(4_990, 5_010)),
    ("bytes=9999-", 206, slice(9_999, None)),
    ("bytes=9000-99999999", 206, slice(9_000, None)),
    ("bytes=-1", 206, slice(-1, None)),
    ("bytes=-99999", 206, slice(0, None)),
    ("bytes=10000-", 416, slice(0, 0)),
    ("bytes=10000-10001", 416, slice(0, 0)),
    ("bytes=-0", 416, slice(0, 0)),
    ("bytes=2-1", 200, slice(0, None)),
    ("bytes=-", 200, slice(0, None)),
    ("bytes=0-1,5-6", 200, slice(0, None)),
    ("bytes=" + ",".join(["0-1"] * 2_000), 200, slice(0, None)),
    ("bytes=a-b", 200, slice(0, None)),
    ("bytes=0-" + "9" * 100, 200, slice(0, None)),
    ("lines=0-1", 200, slice(0, None)),
    ("", 200, slice(0, None)),
]


@pytest.mark.parametrize(("asked", "status", "part"), RANGES)
def test_a_range_is_a_part(caller: Caller, asked: str, status: int, part: slice) -> None:
    """P10: one range within the file is answered with it, what is no such range with all."""
    id = _in_parts(caller)
    answer = caller.ask("GET", f"/v1/files/{id}/content", headers={"range": asked})
    assert status == answer.status
    if status == 416:
        assert answer.error == (416, None, None)
        assert answer.headers["content-range"] == "bytes */10000"
    else:
        assert CONTENT[part] == answer.body
        start, end, _ = part.indices(10_000)
        expected = f"bytes {start}-{end - 1}/10000" if status == 206 else None
        assert expected == answer.headers.get("content-range")


def test_a_download_can_be_resumed_only_of_the_same_bytes(caller: Caller) -> None:
    """If-Range with another tag answers with the whole file; If-None-Match with nothing."""
    path = f"/v1/files/{caller.upload(CONTENT)}/content"
    etag = caller.ask("GET", path).headers["etag"]
    for tag, status in ((etag, 206), ('"other"', 200)):
        asked = {"range": "bytes=5-9", "if-range": tag}
        assert status == caller.ask("GET", path, headers=asked).status
    unchanged = caller.ask("GET", path, headers={"if-none-match": etag})
    assert (unchanged.status, unchanged.body) == (304, b"")


def _in_parts(caller: Caller) -> str:
    """A file like those of results: several blobs, of which only the beginning counts."""
    id = "file-" + hashlib.sha256(caller.secret.encode()).hexdigest()[:22]
    parts, at = [], 0
    for number, size in enumerate((1, 4_999, 0, 5_000)):
        writing = caller.door.yard.blobs.create(f"{id}.{number}")
        writing.write(CONTENT[at : at + size] + b"what a lost worker wrote behind the mark")
        writing.commit()
        sha256 = hashlib.sha256(CONTENT[at : at + size]).hexdigest()
        parts.append(Part(f"{id}.{number}", size, sha256))
        at += size
    caller.door.records.add_file(
        FileRow(
            id=id,
            project_id=_project(caller),
            purpose="batch_output",
            filename="out.jsonl",
            size_bytes=at,
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            created_at=1,
            parts=tuple(parts),
        )
    )
    return id


def _project(caller: Caller) -> str:
    return next(
        key.project_id for key in caller.door.identity.all_keys() if key.id == caller.key_id
    )
