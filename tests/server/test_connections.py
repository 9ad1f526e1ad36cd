"""What a connection may do: table M of the faults below HTTP's surface."""

import gzip
import json
import socket
import tracemalloc
from contextlib import ExitStack, suppress

import pytest
from openai import AuthenticationError

from batchyard.server import http
from tests.server.door import LINE, Caller, Door, form
from tests.server.recorded import Running
from tests.server.until import until

BATCH = b'{"input_file_id":"a","endpoint":"/v1/embeddings","completion_window":"24h"}'
CLOSE = ("connection: close",)
FORM = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', LINE))
FORM_TYPE = "content-type: multipart/form-data; boundary=B"


def error_of(answer: bytes) -> tuple[int, str]:
    """Status and type of the only answer on a connection that was closed behind it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["type"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v1/files HTTP/1.1\r\nhost: x\r\na: " + b"b" * 17_000 + b"\r\n\r\n", 431),
        (b"GET /v1/files HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 4_000 + b"\r\n", 431),
        (b"GET /v1/files HTTP/1.1\r\nhost: x\r\na: " + b"b" * 10_000_000, 431),
        (b"GET /v1/files?" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 100_000, 431),
    ],
    ids=["one long header", "many headers", "endless header", "long URL", "endless URL"],
)
def test_the_head_of_a_request_is_bounded(door: Door, head: bytes, status: int) -> None:
    """M13: 431 above 16 KiB of headers, 414 above 8 KiB of URL; who never ends is cut off."""
    with door.connect() as connection:
        try:
            connection.sendall(head)
        except (BrokenPipeError, ConnectionResetError):
            return
        answer = b"".join(iter(lambda: _received(connection), b""))
    assert not answer or (status, "invalid_request_error") == error_of(answer)


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/f\xffles HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 01\r\n\r\nx",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\nx",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\ncontent-length: x\r\n\r\nx",
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nx",
        b"GET /v1/files HTTP/1.1\r\nhost : x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(door: Door, head: bytes) -> None:
    """M9: 400 in the envelope, and the connection is over."""
    assert error_of(door.send(head)) == (400, "invalid_request_error")


def test_a_body_that_is_shorter_than_its_length_is_too_slow(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M9, M11: who does not send what was announced is told so, and leaves nothing behind."""
    monkeypatch.setattr(http, "_BODY_GRACE_SECONDS", 0.2)
    head = caller.head_of("POST", "/v1/files", FORM_TYPE, f"content-length: {len(FORM) + 1}")
    assert error_of(caller.door.send(head, FORM)) == (408, "invalid_request_error")
    assert caller.ask("GET", "/v1/files").json["data"] == []


def test_a_body_that_is_longer_than_its_length_is_cut(caller: Caller) -> None:
    """M9: what follows the announced length is another request, and no good one."""
    head = caller.head_of("POST", "/v1/files", FORM_TYPE, f"content-length: {len(FORM)}")
    answer = caller.door.send(head, FORM + b"and more\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert len(caller.ask("GET", "/v1/files").json["data"]) <= 1


@pytest.mark.parametrize("begun", [b"", b"GET /v1/files HTTP/1.1\r\nhost: x\r\n", b"\r\n"])
def test_half_a_head_does_not_stay(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """M12: a connection on which no whole head comes is closed."""
    monkeypatch.setattr(http, "_HEAD_SECONDS_MAX", 0.2)
    answer = door.send(begun)
    assert answer == b"" if not begun else error_of(answer) == (408, "invalid_request_error")


def test_a_head_that_drips_does_not_stay(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """M12: the time is that of the whole head, not of one byte after the other."""
    monkeypatch.setattr(http, "_HEAD_SECONDS_MAX", 0.2)
    with door.connect() as connection:
        connection.settimeout(0.02)
        answer = b""
        connection.sendall(b"GET /v1/files HTTP/1.1\r\na: ")
        while not answer:
            try:
                connection.sendall(b"b")
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
    assert error_of(answer)[0] == 408


TRAILERS = {
    "a few": (b"a: b\r\n" * 3 + b"\r\n", None),
    "a credential": (b"authorization: Bearer x\r\n\r\n", None),
    "many": (b"a:b\r\n" * 40_000, 431),
    "one long": (b"a: " + b"b" * 600_000, 431),
    "endless": (b"a: " + b"b" * 20_000_000, 431),
    "an extension of a chunk": (b"1;" + b"a" * 20_000_000, 431),
}


@pytest.mark.parametrize("known", [True, False], ids=["key", "no key"])
@pytest.mark.parametrize("kind", TRAILERS)
def test_trailers_are_dropped_and_bounded(caller: Caller, kind: str, *, known: bool) -> None:
    """What comes behind a body is no header of the request, and takes no memory."""
    sent, status = TRAILERS[kind]
    asker = caller if known else Caller(caller.door, "by_wrong", "")
    head = asker.head_of("POST", "/v1/batches", "transfer-encoding: chunked", "connection: close")
    last = b"" if kind.startswith("an extension") else b"0\r\n"
    with caller.door.connect() as connection:
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head + b"2\r\n[]\r\n" + last)
            connection.sendall(sent)
        answer = b"".join(iter(lambda: _received(connection), b""))
    # Who still sends when the connection closes may miss what was said.
    if answer or not status:
        assert int(answer.split()[1]) in ({status or 400} if known else {status, 401})
    if known and not status:
        assert b"must be a JSON object" in answer


def test_a_key_in_a_trailer_lets_nobody_in(caller: Caller) -> None:
    """A field that comes behind the body is not one of the head."""
    head = b"GET /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    trailer = f"authorization: Bearer {caller.secret}\r\n\r\n".encode()
    answer = caller.door.send(head + b"transfer-encoding: chunked\r\n\r\n0\r\n" + trailer)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("key", ["", "authorization: Bearer by_wrong"])
def test_without_a_key_the_body_is_not_waited_for(door: Door, key: str) -> None:
    """M14: 401 comes at the head; of a long body only the beginning is taken and forgotten."""
    head = ["POST /v1/files HTTP/1.1", "host: x", FORM_TYPE, "content-length: 150000000", key]
    with door.connect() as connection:
        connection.sendall("\r\n".join([*filter(None, head), "", ""]).encode())
        answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 401 ")
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 150_000_000:
                sent += connection.send(bytes(1 << 20))
    assert sent < 40_000_000


def test_who_uploads_with_a_wrong_key_learns_it(door: Door) -> None:
    """M14: the official client raises what a wrong key is, not that the connection broke."""
    stranger = Caller(door, "by_0123456789abcdef", "").sdk()
    with pytest.raises(AuthenticationError):
        stranger.files.create(file=("a.jsonl", bytes(60_000_000)), purpose="batch")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, br", "gzip, gzip", "x"])
def test_what_cannot_be_undone_is_refused(caller: Caller, encoding: str) -> None:
    """M15: 415, and what would be taken."""
    for path in ("/v1/files", "/v1/batches"):
        answer = caller.ask("POST", path, b"x", {"content-encoding": encoding})
        assert answer.error == (415, None, None)
        assert answer.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP", "gzip, identity"])
@pytest.mark.parametrize("members", [1, 3])
def test_gzip_is_undone(caller: Caller, encoding: str, members: int) -> None:
    """M15: what clients compress is taken as what it was."""
    share = -(-len(FORM) // members)
    packed = b"".join(gzip.compress(FORM[at : at + share]) for at in range(0, len(FORM), share))
    headers = {"content-encoding": encoding, "content-type": "multipart/form-data; boundary=B"}
    made = caller.ask("POST", "/v1/files", packed, headers)
    assert (made.status, made.json["bytes"]) == (200, len(LINE))
    headers["content-type"] = "application/json"
    assert caller.ask("POST", "/v1/batches", gzip.compress(BATCH), headers).status == 200


def test_a_bomb_is_let_off_in_pieces(small_caller: Caller) -> None:
    """M15: what comes out is held to the same bounds, and never held as a whole."""
    bomb = gzip.compress(form((b'name="file"; filename="a"', bytes(100_000_000))))
    headers = {"content-encoding": "gzip", "content-type": "multipart/form-data; boundary=B"}
    tracemalloc.start()
    try:
        assert small_caller.ask("POST", "/v1/files", bomb, headers).error == (413, None, "file")
        headers["content-type"] = "application/json"
        assert small_caller.ask("POST", "/v1/batches", bomb, headers).error[0] == 413
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(BATCH)[:-9], gzip.compress(BATCH) + b"x", b"\x1f\x8b"],
    ids=["empty", "plain", "cut", "more behind", "a beginning"],
)
def test_what_is_no_gzip_is_refused(caller: Caller, body: bytes) -> None:
    """M15: 400, and no half of a body is taken for the whole."""
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    assert caller.ask("POST", "/v1/batches", body, headers).error == (400, None, None)
    assert caller.ask("GET", "/v1/batches").json["data"] == []


def test_a_body_is_asked_for_only_with_a_key(caller: Caller) -> None:
    """M16: no 100 before a 401, but one for who may send."""
    length = f"content-length: {len(FORM)}"
    expect = (FORM_TYPE, length, "expect: 100-continue", "connection: close")
    stranger = Caller(caller.door, "by_wrong", "")
    with caller.door.connect() as connection:
        connection.sendall(stranger.head_of("POST", "/v1/files", *expect))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
    with caller.door.connect() as connection:
        connection.sendall(caller.head_of("POST", "/v1/files", *expect))
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(FORM)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_offers_of_another_protocol_are_passed_over(caller: Caller) -> None:
    """Some clients offer HTTP/2 or a WebSocket beside a plain request, which is answered."""
    body = b'{"input_file_id":"a","endpoint":"/v1/embeddings","completion_window":"24h"}'
    for offer in ("h2c", "websocket"):
        upgrade = ("connection: upgrade, close", f"upgrade: {offer}")
        length = f"content-length: {len(body)}"
        answer = caller.door.send(caller.head_of("POST", "/v1/batches", *upgrade, length), body)
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_connection_serves_one_request_after_the_other(caller: Caller) -> None:
    """Errors do not cost a connection, nor do requests that are sent ahead."""
    heads = [
        caller.head_of("GET", "/v1/files"),
        caller.head_of("GET", "/v1/nothing"),
        caller.head_of("POST", "/v1/batches", "content-length: 2") + b"[]",
        caller.head_of("GET", "/v1/models", "connection: close"),
    ]
    answer = caller.door.send(b"".join(heads))
    found = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert found == [200, 404, 400, 200]


def test_who_takes_nothing_of_an_answer_is_cut_off(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M12: an answer that nobody reads does not hold a connection for ever."""
    monkeypatch.setattr(http, "_STALLED_SECONDS_MAX", 0.2)
    id = caller.upload(bytes(30_000_000))
    head = caller.head_of("GET", f"/v1/files/{id}/content")
    before = caller.door.protocols()
    with caller.door.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(head)
        until(lambda: bool(caller.door.protocols() - before))
        ours = caller.door.protocols() - before
        until(lambda: not ours & caller.door.protocols())
        taken = 0
        with suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 20):
                taken += len(chunk)
    assert 0 < taken < 30_000_000


def asks(connection: socket.socket, caller: Caller) -> bytes:
    """What a connection is answered that stays."""
    connection.sendall(caller.head_of("GET", "/v1/files"))
    return connection.recv(65_536)[:13]


def test_connections_are_limited(small_caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """M12: one too many is told so at once, and those who have shown a key go on."""
    monkeypatch.setattr(http, "_CONNECTIONS_MAX", 2)
    door = small_caller.door
    with door.connect() as one, door.connect() as other:
        for connection in (one, other):
            assert asks(connection, small_caller) == b"HTTP/1.1 200 "
        assert error_of(door.send(b"")) == (503, "server_error")
        assert asks(one, small_caller) == b"HTTP/1.1 200 "


@pytest.mark.parametrize("bound", ["_CONNECTIONS_MAX", "_STRANGERS_MAX"])
@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /"])
def test_who_has_no_key_keeps_nobody_out(
    small_caller: Caller, monkeypatch: pytest.MonkeyPatch, bound: str, sent: bytes
) -> None:
    """The connection without a key that is there longest gives way to one that may have one."""
    monkeypatch.setattr(http, bound, 4)
    door = small_caller.door
    with ExitStack() as open_connections:
        known = open_connections.enter_context(door.connect())
        assert asks(known, small_caller) == b"HTTP/1.1 200 "
        strangers = []
        for _ in range(8):
            stranger = open_connections.enter_context(door.connect())
            stranger.sendall(sent)
            if sent.endswith(b"\r\n\r\n"):
                assert stranger.recv(65_536).startswith(b"HTTP/1.1 200 ")
            strangers.append(stranger)
        newcomer = open_connections.enter_context(door.connect())
        assert asks(newcomer, small_caller) == b"HTTP/1.1 200 "
        assert asks(known, small_caller) == b"HTTP/1.1 200 "
        assert _received(strangers[0])[:13] in (b"", b"HTTP/1.1 503 ")
        rest = b"healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        strangers[-1].sendall(rest if sent == b"GET /" else b"GET /" + rest)
        assert strangers[-1].recv(65_536).startswith(b"HTTP/1.1 ")


FRAMED = {
    "chunks and a length": (("transfer-encoding: chunked", "content-length: 5"), True),
    "a length and chunks": (("content-length: 9999", "Transfer-Encoding: chunked"), True),
    "a length twice": ((f"content-length: {len(BATCH)}", f"Content-Length: {len(BATCH)}"), False),
    "a length thrice": ((f"content-length: {len(BATCH)}",) * 3, False),
    "a list of lengths": ((f"content-length: {len(BATCH)}, {len(BATCH)}",), False),
}


@pytest.mark.parametrize("cut", [None, -20, 60])
@pytest.mark.parametrize(("fields", "chunked"), FRAMED.values(), ids=FRAMED)
def test_a_body_that_is_framed_twice_is_read(
    caller: Caller, fields: tuple[str, ...], cut: int | None, *, chunked: bool
) -> None:
    """Proxies that copy headers do that; what official clients read is read, and is the last."""
    head = caller.head_of("POST", "/v1/batches", *fields, *(() if chunked else CLOSE))
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BATCH), BATCH) if chunked else BATCH
    with caller.door.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if cut is not None:
            connection.sendall(head[:cut])
            until(lambda: any(one._head_bytes for one in caller.door.protocols()))
        connection.sendall(head[cut or 0 :] + body)
        if chunked:
            # What would have been smuggled behind it is no request.
            connection.sendall(caller.head_of("GET", "/v1/files"))
        answer = b"".join(iter(lambda: _received(connection), b""))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


def test_a_length_twice_does_not_end_a_connection(caller: Caller) -> None:
    """The next request on it is read as if nothing had been."""
    length = f"content-length: {len(BATCH)}"
    with caller.door.connect() as connection:
        for _ in range(2):
            connection.sendall(caller.head_of("POST", "/v1/batches", length, length) + BATCH)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(caller.head_of("GET", "/v1/files"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("path", "fields", "length"),
    [
        ("/v1/files/{}/content", (), True),
        ("/v1/files/{}/content", ("accept-encoding: gzip",), False),
        ("/v1/batches/{batch}/results", (), False),
        ("/v1/batches/{batch}/results?format=csv", (), False),
        ("/v1/batches/{batch}/output", (), True),
        ("/v1/files", (), True),
        ("/v1/nothing", (), True),
    ],
)
def test_who_speaks_http_1_0_gets_no_chunks(
    caller: Caller, path: str, fields: tuple[str, ...], *, length: bool
) -> None:
    """RFC 9112, 7.1: what has no length ends with the connection, and is whole."""
    running = Running(caller, 300)
    running.record(dict.fromkeys(range(300), "x" * 1000))
    path = path.format(running.input_id, batch=running.id)
    head = caller.head_of("GET", path, *fields)
    answer = caller.door.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in top.lower()
    assert (b"content-length" in top.lower()) == length
    expected = caller.ask("GET", path, None, dict(field.split(": ") for field in fields))
    assert body == expected.body or b"request_id" in body or "nothing" in path
    if "results" in path:
        assert body.count(b"\n") >= 300


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""
