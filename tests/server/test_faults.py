"""Tables P and M of the faults a request can have: each with its exact answer, kept in a file."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from batchyard.places.store.rows import FileRow, Part
from batchyard.rules.limits import RELAXED
from batchyard.server import http
from tests.server.door import LINE, Caller, Door, form
from tests.server.recorded import Running

ANSWERS = Path(__file__).parent / "golden" / "faults.txt"
FORM_TYPE = "multipart/form-data; boundary=B"
PURPOSE = (b'name="purpose"', b"batch")
FILE = (b'name="file"; filename="in.jsonl"', LINE)
WHOLE = form(PURPOSE, FILE)
CLOSE = "connection: close"
GET = f"GET /v1/files HTTP/1.1\r\n{CLOSE}\r\n"


class Ask(NamedTuple):
    """A request; `{name}` in path and body is the id of what is called so."""

    verb: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Raw(NamedTuple):
    """A request as bytes; `{key}` is the header with a good key."""

    head: str
    body: bytes = b""


def create(**changed: object) -> Ask:
    """A create; `...` leaves a field out."""
    fields = {
        "input_file_id": "file-none",
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
    }
    asked = {name: value for name, value in (fields | changed).items() if value is not ...}
    return body_of(json.dumps(asked).encode())


def body_of(body: bytes, content_type: str = "application/json", **more: str) -> Ask:
    """A create with this body."""
    return Ask("POST", "/v1/batches", body, {"content-type": content_type, **more})


def lasts(anchor: object = "created_at", seconds: object = 3_600) -> Ask:
    """A create whose results are kept so long."""
    return create(output_expires_after={"anchor": anchor, "seconds": seconds})


def upload(*parts: tuple[bytes, bytes]) -> Ask:
    """An upload of these parts."""
    return sent(form(*parts))


def sent(body: bytes, content_type: str = FORM_TYPE, **more: str) -> Ask:
    """An upload with this body."""
    return Ask("POST", "/v1/files", body, {"content-type": content_type, **more})


def called(disposition: bytes) -> Ask:
    """An upload of a file with this disposition."""
    return upload(PURPOSE, (b'name="file"; ' + disposition, LINE))


def content(asked: str) -> Ask:
    """A part of a file."""
    return Ask("GET", "/v1/files/{file}/content", None, {"range": asked})


def key(value: str) -> Ask:
    """A list under this key."""
    return Ask("GET", "/v1/files", None, {"authorization": value})


def raw_upload(*headers: str, body: bytes = WHOLE, key: str = "{key}") -> Raw:
    """An upload on a bare connection."""
    head = ("POST /v1/files HTTP/1.1", key, f"content-type: {FORM_TYPE}", *headers)
    return Raw("\r\n".join([*filter(None, head), CLOSE, "", ""]), body)


P_FAULTS: dict[str, Ask | Raw] = {
    **{
        f"P1 {path}?limit={text[:12]}": Ask("GET", f"/v1/{path}?limit={text}")
        for path, above in (("batches", "101"), ("files", "10001"))
        for text in ("0", "-1", above, "1e3", "abc", "", "1&limit=1", str(2**70))
    },
    **{
        f"P2 {path}?after={after[:16]}": Ask("GET", f"/v1/{path}?after={after}")
        for path in ("batches", "files")
        for after in (
            *("unknown", "{foreign_file}", "{foreign_batch}", "{file}", "{batch}", "{deleted}"),
            *("", "x" * 7_000, "'%20OR%201=1--"),
        )
        if after not in ("{file}", "{batch}") or after.strip("{}") not in path
    },
    **{
        f"P3 {verb} {path.format('ID')} {id[:8]}": Ask(verb, path.format(id))
        for verb, path in (
            ("GET", "/v1/files/{}"),
            ("GET", "/v1/files/{}/content"),
            ("GET", "/v1/batches/{}"),
            ("POST", "/v1/batches/{}/cancel"),
            ("POST", "/v1/uploads/{}/cancel"),
            ("GET", "/v1/webhook_endpoints/{}"),
        )
        for id in ("..%2f", "%00", "%F0%9F%8D%B5", "x" * 7_000, "FILE-X", "chatcmpl-1")
    },
    "P4 17 keys": create(metadata={str(number): "" for number in range(17)}),
    "P4 a key of 65": create(metadata={"k" * 65: "v"}),
    "P4 a value of 513": create(metadata={"k": "v" * 513}),
    "P4 an integer": create(metadata={"k": 1}),
    "P4 nested": create(metadata={"k": {"a": "b"}}),
    "P4 null": create(metadata=None),
    "P4 {}": create(metadata={}),
    "P4 a string": create(metadata=""),
    "P4 a key twice": body_of(b'{"metadata":{"a":"b","a":"c"}}'),
    "P4 NUL": create(metadata={"k": "\0"}),
    "P4 __proto__": create(metadata={"__proto__": "x"}),
    "P5 window 25x": create(completion_window="25x"),
    "P5 window 24": create(completion_window=24),
    "P5 window missing": create(completion_window=...),
    "P5 endpoint unknown": create(endpoint="/v1/nothing"),
    "P5 endpoint missing": create(endpoint=...),
    "P5 input missing": create(input_file_id=...),
    "P5 anchor": lasts(anchor="now"),
    "P5 3599": lasts(seconds=3_599),
    "P5 2592001": lasts(seconds=2_592_001),
    'P5 "3600"': lasts(seconds="3600"),
    "P6 wrong purpose": create(input_file_id="{user_data}"),
    "P6 an output": create(input_file_id="{output}"),
    "P6 expired": create(input_file_id="{stale}"),
    "P6 deleted": create(input_file_id="{deleted}"),
    "P6 foreign": create(input_file_id="{foreign_file}"),
    "P6 still uploading": create(input_file_id="{upload}"),
    "P7 empty": body_of(b""),
    "P7 not JSON": body_of(b"nonsense"),
    "P7 an array": body_of(b"[]"),
    "P7 10 MB": body_of(b'{"a":"' + b"x" * 10_000_000 + b'"}'),
    "P7 deep": body_of(b'{"a":' + b"[" * 500_000),
    "P7 content type": body_of(b"{}", "text/plain"),
    "P7 BOM": body_of(b"\xef\xbb\xbf{}"),
    **{
        f"P8 {status}": Ask("POST", f"/v1/batches/{{{status}}}/cancel")
        for status in ("completed", "failed", "expired", "cancelled", "cancelling")
    },
    "P9 in use": Ask("DELETE", "/v1/files/{used}"),
    "P9 twice": Ask("DELETE", "/v1/files/{deleted}"),
    "P9 foreign": Ask("DELETE", "/v1/files/{foreign_file}"),
    "P10 0-": content("bytes=0-"),
    "P10 -1": content("bytes=-1"),
    "P10 beyond": content("bytes=99999-"),
    "P10 none": content("bytes=-"),
    "P10 reversed": content("bytes=5-1"),
    "P10 overlapping": content("bytes=0-5,2-9"),
    "P10 10,000 ranges": content("bytes=" + ",".join(["0-1"] * 2_000)),
    **{
        f"P11 {verb} {path}": Ask(verb, path)
        for verb, path in (
            ("PUT", "/v1/files"),
            ("OPTIONS", "/v1/files"),
            ("TRACE", "/v1/batches"),
            ("PATCH", "/v1/batches/{batch}"),
            ("GET", "/v1/batches/{batch}/cancel"),
            ("GET", "/v1/files/"),
            ("GET", "//v1/files"),
            ("GET", "/V1/files"),
            ("GET", "/v1/files/../batches"),
        )
    },
    "P11 override": Ask("POST", "/v1/models", b"", {"x-http-method-override": "GET"}),
    "P12 Host": Ask("GET", "/v1/models/none", None, {"host": "evil.example"}),
    "P12 X-Forwarded-Host": Ask(
        "GET", "/v1/models/none", None, {"x-forwarded-host": "evil.example"}
    ),
    "P12 X-Original-URL": Ask("GET", "/v1/models/none", None, {"x-original-url": "/healthz"}),
    "P13 none": Raw(f"{GET}\r\n"),
    "P13 empty": key(""),
    "P13 Bearer": key("Bearer"),
    "P13 Basic": key("Basic dXNlcjpwYXNz"),
    "P13 quotes": key("Bearer 'OR 1=1--\""),
    "P13 non-ASCII": key("Bearer \xff\xfe"),
    "P13 NUL": Raw(f"{GET}authorization: Bearer a\0b\r\n\r\n"),
    "P13 two": Raw(f"{GET}{{key}}\r\nauthorization: Bearer x\r\n\r\n"),
    "P13 40 KB": Raw(f"{GET}authorization: Bearer " + "x" * 40_000),
}

M_FAULTS: dict[str, Ask | Raw] = {
    "M1 no boundary": sent(WHOLE, "multipart/form-data"),
    "M1 long boundary": sent(WHOLE, f"multipart/form-data; boundary={'B' * 200}"),
    "M1 content type": sent(WHOLE, "application/json"),
    "M2 no filename": upload(PURPOSE, (b'name="file"', LINE)),
    "M3 empty": called(b'filename=""'),
    "M3 a path": called(b'filename="../../etc/passwd"'),
    "M3 quotes": called(b'filename="a%22b.jsonl"'),
    "M3 NUL": called(b'filename="a\0b.jsonl"'),
    "M3 10 KB": called(b'filename="%b"' % (b"x" * 10_000)),
    "M3 300": called(b'filename="%b"' % (b"x" * 300)),
    "M3 right to left": called('filename="a\u202egnp.jsonl"'.encode()),
    "M3 filename*": called(b"filename*=UTF-8''%C3%BC.jsonl"),
    "M4 two files": upload(PURPOSE, FILE, FILE),
    "M4 two purposes": upload(PURPOSE, PURPOSE, FILE),
    "M5 the file first": upload(FILE, PURPOSE),
    "M6 no closing boundary": sent(WHOLE[:-7]),
    "M7 1,200 fields": upload(*((b'name="f%d"' % n, b"") for n in range(1_200)), PURPOSE, FILE),
    "M7 2 MB": upload((b'name="f"', b"x" * 2_000_000), PURPOSE, FILE),
    "M7 part headers": upload((b'name="f"\r\n' + b"a: b\r\n" * 10**6, b""), PURPOSE, FILE),
    "M8 chunked": raw_upload(
        "transfer-encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(WHOLE), WHOLE)
    ),
    "M8 too large": upload(PURPOSE, (FILE[0], b"x" * 8_000_001)),
    "M9 larger": raw_upload(f"content-length: {len(WHOLE) + 1}"),
    "M9 smaller": raw_upload(f"content-length: {len(WHOLE) - 9}"),
    "M9 negative": raw_upload("content-length: -1"),
    "M9 two": raw_upload("content-length: 1", "content-length: 2"),
    "M9 with TE": raw_upload("content-length: 1", "transfer-encoding: chunked"),
    "M11 too slow": raw_upload("content-length: 5000000", body=WHOLE[:30]),
    "M12 half a head": Raw("GET /v1/files HTTP/1.1\r\nhost"),
    "M12 idle": Raw(""),
    "M13 header": Raw("GET /v1/files HTTP/1.1\r\na: " + "b" * 17_000 + "\r\n\r\n"),
    "M13 URL": Raw("GET /v1/files?" + "a" * 9_000 + " HTTP/1.1\r\nhost: x\r\n\r\n"),
    "M13 endless URL": Raw("GET /" + "a" * 40_000),
    "M14 no key": raw_upload("content-length: 150000000", key="", body=b""),
    "M14 wrong key": raw_upload(
        "content-length: 150000000", key="authorization: Bearer by_wrong_key_0001", body=b""
    ),
    "M15 gzip": sent(WHOLE, **{"content-encoding": "gzip"}),
    "M16 expect": raw_upload(
        *("content-length: 9", "expect: 100-continue"), key="authorization: Bearer x", body=b""
    ),
    "M17 missing": upload(FILE),
    "M17 unknown": upload((b'name="purpose"', b"nonsense"), FILE),
    "M17 an output": upload((b'name="purpose"', b"batch_output"), FILE),
    "M17 assistants": upload((b'name="purpose"', b"assistants"), FILE),
}
FAULTS = P_FAULTS | M_FAULTS


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, dict[str, str]]]:
    """A caller at a door for small files, and the ids of what the tables name."""
    limits = msgspec.structs.replace(RELAXED, file_bytes_max=8_000_000)
    door = Door(tmp_path_factory.mktemp("faults"), limits)
    caller, stranger = door.caller(), door.caller()
    asked = {"bytes": 1, "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}
    found = {
        "file": caller.upload(),
        "foreign_file": stranger.upload(),
        "foreign_batch": stranger.create().json["id"],
        "user_data": caller.upload(purpose="user_data"),
        "used": caller.upload(),
        "deleted": caller.upload(),
        "stale": stale_file(caller),
        "upload": caller.post("/v1/uploads", asked).json["id"],
        **ended(caller),
    }
    caller.ask("DELETE", f"/v1/files/{found['deleted']}")
    found["batch"] = caller.create(input_file_id=found["used"]).json["id"]
    yield caller, found
    door.close()


def ended(caller: Caller) -> dict[str, str]:
    """A batch in each status that a cancellation can meet, and an output file."""
    done = Running(caller, 1)
    done.record({0: "hi"})
    done.release()
    done.step()
    found = {"completed": done.id}
    found["output"] = caller.ask("GET", f"/v1/batches/{done.id}").json["output_file_id"]
    for status in ("failed", "expired", "cancelled", "cancelling"):
        found[status] = caller.create().json["id"]
    for status in ("cancelled", "cancelling"):
        caller.ask("POST", f"/v1/batches/{found[status]}/cancel")
    caller.door.end(found["failed"], "failed")
    caller.door.end(found["expired"], "expired")
    caller.door.end(found["cancelled"], "cancelled")
    return found


def stale_file(caller: Caller) -> str:
    """A file whose time is over."""
    project = next(k.project_id for k in caller.door.identity.all_keys() if k.id == caller.key_id)
    row = FileRow(
        id="file-stale",
        project_id=project,
        purpose="batch",
        filename="a.jsonl",
        size_bytes=1,
        sha256="",
        created_at=1,
        expires_at=2,
        parts=(Part("none", 1),),
    )
    return caller.door.records.add_file(row).id


def answered(caller: Caller, ids: Mapping[str, str], fault: Ask | Raw) -> str:
    """What comes back, as the golden file has it: ids by their names, long runs shortened."""
    shown: Mapping[str, str] = {}
    if isinstance(fault, Raw):
        head = fault.head.replace("{key}", f"authorization: {caller.auth['authorization']}")
        came = caller.door.send(head.encode() + fault.body)
        if not came:
            return "closed"
        head, _, text = came.decode().partition("\r\n\r\n")
        status = int(head.split()[1])
    else:
        path, body = fault.path, fault.body
        for name, id in ids.items():
            path = path.replace(f"{{{name}}}", id)
            body = body and body.replace(b"{%b}" % name.encode(), id.encode())
        answer = caller.ask(fault.verb, path, body, fault.headers)
        status, shown, text = answer.status, answer.headers, answer.body.decode()
    told = what(status, text, shown)
    for name, id in ids.items():
        told = told.replace(id, f"{{{name}}}")
    return re.sub(r"(.)\1{19,}", lambda run: f"{run[1]}*{len(run[0])}", f"{status} {told}").replace(
        "\0", "NUL"
    )


def what(status: int, text: str, headers: Mapping[str, str]) -> str:
    """The gist of an answer: all of an error, of an object what the tables are about."""
    if "content-range" in headers:
        return headers["content-range"]
    if headers.get("content-type") == "application/jsonl":
        return f"{len(text)} bytes"
    found = json.loads(text)
    if "error" in found:
        error = found["error"]
        assert set(found) == {"error"}
        assert error["type"] == "invalid_request_error"
        retry = headers.get("x-should-retry")
        words = [error["code"] or "-", error["param"] or "-", error["message"]]
        return " ".join(words + ([f"[x-should-retry: {retry}]"] if retry else []))
    if found["object"] == "batch":
        return f"batch {found['status']} {found['metadata']}"
    if found["object"] == "file" and "filename" in found:
        return f"file {found['filename']} {found['bytes']}"
    return f"list of {len(found['data'])}" if found["object"] == "list" else json.dumps(found)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_answer(
    ids: tuple[Caller, dict[str, str]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, code, param and message of every row, to the letter."""
    for bound in ("_HEAD_SECONDS_MAX", "_BODY_GRACE_SECONDS"):
        if name.startswith(("M9 larger", "M11", "M12")):
            monkeypatch.setattr(http, bound, 0.2)
    lines = ANSWERS.read_text(encoding="utf-8").splitlines()
    expected = dict(line.split(" -> ", 1) for line in lines)
    assert expected[name] == answered(*ids, FAULTS[name])


def test_no_answer_is_left_over() -> None:
    """The file has one line for each row, in their order."""
    lines = ANSWERS.read_text(encoding="utf-8").splitlines()
    assert list(FAULTS) == [line.split(" -> ", 1)[0] for line in lines]
