"""Uploads as clients and attackers send them: table M of the faults a form can have."""

import re
from pathlib import Path

import pytest

from batchyard.server.uploading import label
from tests.server.door import LINE, Caller, Door, form

PURPOSE = (b'name="purpose"', b"batch")
FILE = (b'name="file"; filename="in.jsonl"', LINE)
WHOLE = form(PURPOSE, FILE)


def test_the_order_of_the_parts_does_not_matter(caller: Caller) -> None:
    """The file may come before its purpose."""
    first, last = caller.post_form(form(PURPOSE, FILE)), caller.post_form(form(FILE, PURPOSE))
    assert (first.status, last.status) == (200, 200)
    assert (first.json["bytes"], last.json["bytes"]) == (len(LINE), len(LINE))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (form(PURPOSE, (b'name="file"', LINE)), "file"),
        (form(PURPOSE, (b'name="file"; filename=""', LINE)), "file"),
        (form(PURPOSE, FILE, FILE), "file"),
        (form(PURPOSE, PURPOSE, FILE), "purpose"),
        (form(PURPOSE, (b'name="a"', b""), (b'name="a"', b""), FILE), "a"),
        (WHOLE[: -len(b"--B--\r\n")], None),
        (WHOLE[:-20], None),
        (WHOLE.replace(b"--B\r\n", b"--B\n"), None),
        (b"", None),
        (b"no form at all", None),
        (form(PURPOSE, *((b'name="f%d"' % n, b"") for n in range(1_200)), FILE), None),
        (form((b'name="f"', b"x" * 2_000_000), PURPOSE, FILE), None),
        (form((b'name="purpose"\r\n' + b"a: b\r\n" * 1_000_000, b"batch")), None),
        (form((b'name="purpose"\r\na: ' + b"b" * 100_000, b"batch")), None),
        (b"x" * 2_000_000 + WHOLE, None),
        (WHOLE + b"x" * 2_000_000, None),
    ],
    ids=[
        "no filename",
        "empty filename",
        "two files",
        "two purposes",
        "two of another field",
        "no closing boundary",
        "cut in the file",
        "bare line feeds",
        "empty",
        "no form",
        "1,200 fields",
        "long field",
        "many part headers",
        "long part header",
        "long preamble",
        "long epilogue",
    ],
)
def test_a_faulty_form_is_refused(caller: Caller, body: bytes, param: str | None) -> None:
    """M2, M4, M6, M7: 400 in the envelope; nothing is stored."""
    before = blobs_of(caller.door)
    answer = caller.post_form(body)
    status, _, got = answer.error
    assert (400, param) == (status, got)
    assert caller.ask("GET", "/v1/files").json["data"] == []
    assert before == blobs_of(caller.door)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'B' * 200}",
        "application/json",
        "application/x-www-form-urlencoded",
        "nonsense",
        "multipart/form-data; boundary=\xff",
        "",
    ],
)
def test_a_form_without_a_usable_boundary_is_refused(caller: Caller, content_type: str) -> None:
    """M1: 400, whatever the content type says instead."""
    answer = caller.ask("POST", "/v1/files", WHOLE, {"content-type": content_type})
    assert answer.error == (400, None, None)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ((FILE,), (400, "missing_required_parameter", "purpose")),
        ((PURPOSE,), (400, "missing_required_parameter", "file")),
        (((b'name="purpose"', b"nonsense"), FILE), (400, "invalid_value", "purpose")),
        (((b'name="purpose"', b""), FILE), (400, "invalid_value", "purpose")),
        (((b'name="purpose"', b"batch_output"), FILE), (400, "invalid_value", "purpose")),
        (((b'name="purpose"', b"\xff\x00"), FILE), (400, "invalid_value", "purpose")),
    ],
)
def test_the_fields_of_a_form_are_checked(
    caller: Caller, fields: tuple[tuple[bytes, bytes], ...], error: tuple[int, str, str]
) -> None:
    """M17: what is missing or unknown is named, and nothing is stored."""
    before = blobs_of(caller.door)
    assert error == caller.post_form(form(*fields)).error
    assert before == blobs_of(caller.door)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"caf\xe9.jsonl", "café.jsonl"),
        ("café.jsonl".encode(), "café.jsonl"),
        ("日本.jsonl".encode(), "日本.jsonl"),
        (b"\xff\xfe\x80.jsonl", "ÿþ.jsonl"),
        (b"a\x00b.jsonl", "ab.jsonl"),
    ],
)
def test_a_name_is_a_label_in_any_bytes(caller: Caller, sent: bytes, name: str) -> None:
    """M5: UTF-8 where it is that, else Latin-1, as old clients send it."""
    made = caller.post_form(form(PURPOSE, (b'name="file"; filename="%b"' % sent, LINE)))
    assert (made.status, made.json["filename"]) == (200, name)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=\xff",
        b"Content-Disposition: \xff; name=purpose",
        b"\xff: x\r\nContent-Disposition: form-data; name=purpose",
        b"Content-Length: \xff\r\nContent-Disposition: form-data; name=purpose",
        b"no head at all",
    ],
)
def test_no_message_shows_what_python_thinks(caller: Caller, head: bytes) -> None:
    """Whatever bytes stand in the head of a part, the answer is in words."""
    body = b"--B\r\n" + head + b"\r\n\r\nbatch\r\n" + form(FILE)
    answer = caller.post_form(body)
    assert answer.error[0] == 400
    message = answer.json["error"]["message"]
    assert not re.search(r"Error\(|b'|\\\\x|codec", message), message


@pytest.mark.parametrize("style", [b"expires_after[%b]", b"expires_after.%b"])
def test_both_spellings_of_nested_fields_are_understood(caller: Caller, style: bytes) -> None:
    """OpenAI's clients send brackets, Azure's documents dots."""
    anchor = (b'name="%b"' % (style % b"anchor"), b"created_at")
    seconds = (b'name="%b"' % (style % b"seconds"), b"3600")
    made = caller.post_form(form(anchor, PURPOSE, FILE, seconds)).json
    assert made["expires_at"] - made["created_at"] == 3_600


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"anchor":"created_at","seconds":3600}', None),
        (b' { "seconds" : 3600, "anchor" : "created_at" } ', None),
        (b'{"anchor":"created_at","seconds":1}', ("integer_below_min_value", ".seconds")),
        (b'{"anchor":"created_at"}', ("missing_required_parameter", ".seconds")),
        (b'{"anchor":"created_at","seconds":"3600"}', ("invalid_type", ".seconds")),
        (b'{"anchor":"created_at","seconds":3600', ("invalid_type", "")),
        (b'{"seconds":1,"seconds":3600}', ("invalid_type", "")),
        (b"3600", ("invalid_type", "")),
        (b"", ("invalid_type", "")),
        (b"[" * 8_000, ("invalid_type", "")),
        (b'{"anchor":"\\ud800","seconds":3600}', ("invalid_type", "")),
    ],
)
def test_a_lifetime_may_be_one_field_of_json(
    caller: Caller, text: bytes, error: tuple[str, str] | None
) -> None:
    """Some clients write nested fields so; what cannot be read is refused, not passed over."""
    answer = caller.post_form(form(PURPOSE, FILE, (b'name="expires_after"', text)))
    if error is None:
        assert answer.json["expires_at"] - answer.json["created_at"] == 3_600
    else:
        code, field = error
        assert answer.error == (400, code, f"expires_after{field}")


@pytest.mark.parametrize(
    ("anchor", "seconds", "code", "param"),
    [
        (b"created_at", b"3599", "integer_below_min_value", "expires_after.seconds"),
        (b"created_at", b"2592001", "integer_above_max_value", "expires_after.seconds"),
        (b"created_at", b"1e4", "invalid_type", "expires_after.seconds"),
        (b"created_at", "٣٦٠٠".encode(), "invalid_type", "expires_after.seconds"),
        (b"created_at", b"9" * 400, "invalid_type", "expires_after.seconds"),
        (b"created_at", None, "missing_required_parameter", "expires_after.seconds"),
        (b"now", b"3600", "invalid_value", "expires_after.anchor"),
        (None, b"3600", "missing_required_parameter", "expires_after.anchor"),
    ],
)
def test_a_lifetime_has_bounds(
    caller: Caller, anchor: bytes | None, seconds: bytes | None, code: str, param: str
) -> None:
    """An hour to thirty days, counted from the creation."""
    given = {b"anchor": anchor, b"seconds": seconds}
    fields = [
        (b'name="expires_after[%b]"' % name, text)
        for name, text in given.items()
        if text is not None
    ]
    assert (400, code, param) == caller.post_form(form(PURPOSE, FILE, *fields)).error


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\in.jsonl", "in.jsonl"),
        ("a\x00b\r\n\x1b[31m\u202egnp.jsonl", "ab[31mgnp.jsonl"),
        ("é\u00a0x.jsonl", "éx.jsonl"),
        ("x" * 10_000, "x" * 255),
        ("..", ".."),
        ("a/", "upload"),
        ("\x07", "upload"),
    ],
)
def test_a_file_name_is_only_a_label(name: str, shown: str) -> None:
    """M3: the last part of a path, printable, at most 255 characters."""
    assert shown == label(name)


@pytest.mark.parametrize(
    ("disposition", "shown"),
    [
        (b'name="file"; filename="../../etc/passwd"', "passwd"),
        ('name="file"; filename="ü.jsonl"'.encode(), "ü.jsonl"),
        (b"name=\"file\"; filename*=UTF-8''%C3%BC.jsonl", "ü.jsonl"),
        (b'name="file"; filename="a%22b.jsonl"', 'a"b.jsonl'),
    ],
)
def test_names_of_uploads_are_labels(caller: Caller, disposition: bytes, shown: str) -> None:
    """M3: no name reaches the disk, whichever way it is written."""
    answer = caller.post_form(form(PURPOSE, (disposition, LINE)))
    assert (200, shown) == (answer.status, answer.json["filename"])
    assert (caller.door.blobs_folder / "inputs" / answer.json["id"]).is_file()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_form_may_come_in_any_pieces(caller: Caller, size: int) -> None:
    """M8: chunked, cut anywhere, also within the boundary and behind the last one."""
    pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    head = caller.head_of(
        "POST",
        "/v1/files",
        "content-type: multipart/form-data; boundary=B",
        "transfer-encoding: chunked",
        "connection: close",
    )
    body = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    answer = caller.door.send(head, *body, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"bytes":%d,' % len(LINE) in answer


def test_content_that_looks_like_a_boundary_is_content(caller: Caller) -> None:
    """Only the whole delimiter at the start of a line ends a part."""
    content = b"\r\n--\r\n--A\r\n-\r--B\n--B--\n" * 1_000
    id = caller.upload(content, purpose="evals")
    assert content == caller.ask("GET", f"/v1/files/{id}/content").body


def test_a_file_may_not_be_too_large(small_caller: Caller) -> None:
    """M8: 413 as soon as the limit is passed, with or without a length; nothing is left."""
    body = form(PURPOSE, (FILE[0], b"x" * 100_001))
    assert small_caller.post_form(body).error == (413, None, "file")
    assert small_caller.post_form(form(PURPOSE, (FILE[0], b"x" * 100_000))).status == 200
    assert len(blobs_of(small_caller.door)) == 1


def test_a_file_that_is_announced_too_large_is_not_waited_for(small_caller: Caller) -> None:
    """M8: 413 at the head, before any of it is sent."""
    head = small_caller.head_of("POST", "/v1/files", "content-length: 999999999")
    with small_caller.door.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_lost_client_leaves_nothing(caller: Caller) -> None:
    """M10: a file whose client went away in the middle is not there, on the disk neither."""
    before = blobs_of(caller.door)
    with caller.door.connect() as connection:
        connection.sendall(
            caller.head_of(
                "POST",
                "/v1/files",
                "content-type: multipart/form-data; boundary=B",
                "content-length: 50000000",
            )
        )
        connection.sendall(form(PURPOSE, (FILE[0], b"x" * 5_000_000))[:-20])
    while blobs_of(caller.door) != before:
        assert caller.ask("GET", "/v1/files").json["data"] == []


def blobs_of(door: Door) -> set[Path]:
    """What is on the disk, finished or not."""
    return set(door.blobs_folder.rglob("*.*")) | set(door.blobs_folder.rglob("file-*"))
