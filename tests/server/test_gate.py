"""Who may pass: keys, routes, and the headers of every answer."""

import random
import re

import pytest

from batchyard.server.keys import hash_secret, key_of
from tests.server.door import Caller, Door

ROUTES = [
    ("POST", "/v1/files"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file-x"),
    ("DELETE", "/v1/files/file-x"),
    ("GET", "/v1/files/file-x/content"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/batches"),
    ("GET", "/v1/batches/batch_x"),
    ("POST", "/v1/batches/batch_x/cancel"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/x"),
    ("GET", "/v1/nothing"),
    ("GET", "/"),
    ("GET", "/docs/"),
    ("POST", "/docs"),
    ("GET", "//healthz"),
    ("GET", "/healthz/"),
    ("POST", "/healthz"),
    ("OPTIONS", "/v1/files"),
    ("TRACE", "/v1/files"),
]


@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_without_a_key_nothing_passes(door: Door, verb: str, path: str) -> None:
    """Every route, known or not, answers 401 to whoever has no key."""
    nobody = Caller(door, "", "")
    nobody.auth = {}
    answer = nobody.ask(verb, path)
    assert answer.error == (401, None, None)
    assert "You didn't provide an API key." in answer.json["error"]["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_no_secret(door: Door, path: str) -> None:
    """Whoever watches the server needs no key."""
    nobody = Caller(door, "", "")
    nobody.auth = {}
    assert (nobody.ask("GET", path).status, nobody.ask("GET", path).json) == (200, {"status": "ok"})
    assert (nobody.ask("HEAD", path).status, nobody.ask("HEAD", path).body) == (200, b"")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic dXNlcjpwYXNz",
        b"Bearer x",
        b"Bearer 'OR 1=1--\"",
        b"Bearer \xff\xfe",
        "Bearer 🍵".encode(),
        b"Bearer " + b"x" * 10_000,
        b"%b\r\nauthorization: %b" % (b"Bearer x", b"Bearer y"),
    ],
)
def test_a_wrong_key_is_refused(door: Door, value: bytes) -> None:
    """P13: 401 `invalid_api_key`, whatever stands there."""
    request = b"GET /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: %b\r\n\r\n"
    answer = door.send(request % value)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"code":"invalid_api_key"' in answer


@pytest.mark.parametrize("value", [b"Bearer a\0b", b"Bearer a\rb", b"Bearer a\nb"])
def test_a_header_with_control_characters_is_no_http(door: Door, value: bytes) -> None:
    """P13: the parser refuses what is not even a header."""
    head = b"GET /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\n\r\n" % value
    answer = door.send(head)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"type":"invalid_request_error"' in answer


def test_a_key_may_be_any_text(door: Door) -> None:
    """A key that somebody chose may have spaces, and letters of any language."""
    for secret in ("my own key", "ключ"):
        key = key_of(secret, "own", random.Random(secret), 1)
        door.identity.add_key(key, hash_secret(secret))
        head = f"GET /v1/files HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"
        assert door.send(head.encode() + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_two_keys_are_none(caller: Caller) -> None:
    """P13: a good key does not help beside another header."""
    head = caller.head_of("GET", "/v1/files", "authorization: Bearer x", "connection: close")
    assert caller.door.send(head).startswith(b"HTTP/1.1 401 ")


def test_a_refused_key_is_shown_masked(door: Door) -> None:
    """The message tells which key it was, and not what it was."""
    secret = "by_0123456789abcdefghijklmnopqrstuvwxyz"
    message = Caller(door, secret, "").ask("GET", "/v1/files").json["error"]["message"]
    assert message == "Incorrect API key provided: by_0********wxyz."


def test_a_revoked_key_is_refused_soon(caller: Caller) -> None:
    """What is remembered of a key is forgotten within a second."""
    assert caller.ask("GET", "/v1/files").status == 200
    began = caller.door.yard.clock.steady()
    assert [one.id for one in caller.door.identity.revoke_key(caller.key_id, 1)] == [caller.key_id]
    while caller.ask("GET", "/v1/files").status == 200:
        assert caller.door.yard.clock.steady() - began < 1
    assert caller.ask("GET", "/v1/files").error == (401, "invalid_api_key", None)


def test_projects_do_not_see_each_other(caller: Caller) -> None:
    """Another project's object is answered exactly as a missing one."""
    file, batch = caller.upload(), caller.create().json["id"]
    stranger = caller.door.caller()
    for verb, path, id in (
        ("GET", "/v1/files/{}", file),
        ("DELETE", "/v1/files/{}", file),
        ("GET", "/v1/files/{}/content", file),
        ("GET", "/v1/batches/{}", batch),
        ("POST", "/v1/batches/{}/cancel", batch),
    ):
        missing = "x" * len(id)
        foreign, absent = (stranger.ask(verb, path.format(one)) for one in (id, missing))
        assert (404, absent.body.replace(missing.encode(), id.encode())) == (
            foreign.status,
            foreign.body,
        )
    assert stranger.ask("GET", "/v1/files").json["data"] == []
    assert stranger.ask("GET", "/v1/batches").json["data"] == []
    colleague = caller.door.caller(project="proj_shared")
    other = caller.door.caller(project="proj_shared")
    assert other.ask("GET", f"/v1/files/{colleague.upload()}").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/",
        "//v1/files",
        "/v1//files",
        "/V1/files",
        "/v1/FILES",
        "/v1/%66iles",
        "/v1/files%0A",
        "/v1/files?/../batches",
        "/v1/files/../batches",
        "/v1/./files",
        "/v1/files/a/b",
        "/v1/files/a/content/",
        "/v1/batches/a/cancel/",
        "/v1/batches/",
        "/v1/models/",
        "/v1",
        "/",
    ],
)
def test_only_the_exact_path_is_a_route(caller: Caller, path: str) -> None:
    """P11: slashes, case and quoting never lead to another route."""
    answer = caller.ask("POST", path, b"")
    if path == "/v1/files?/../batches":
        assert answer.error[0] == 400
    else:
        assert answer.error == (404, None, None)
        assert answer.json["error"]["message"].startswith("Invalid URL (POST /")


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("DELETE", "/v1/batches", "GET, POST"),
        ("POST", "/v1/files/x", "GET, DELETE"),
        ("GET", "/v1/batches/x/cancel", "POST"),
        ("OPTIONS", "/v1/models", "GET"),
        ("TRACE", "/v1/models", "GET"),
        ("PATCH", "/v1/models", "GET"),
    ],
)
def test_another_verb_is_not_allowed(caller: Caller, verb: str, path: str, allowed: str) -> None:
    """P11: 405 says which verbs there are; no header puts another in its place."""
    answer = caller.ask(verb, path, headers={"x-http-method-override": "GET"})
    assert answer.error == (405, "method_not_supported", None)
    assert allowed == answer.headers["allow"]


def test_models_are_not_deleted_here(caller: Caller) -> None:
    """They are what the upstreams serve, and so it is said."""
    for id in ("tiny", "org/tiny", "none"):
        answer = caller.ask("DELETE", f"/v1/models/{id}")
        assert answer.error == (405, "method_not_supported", None)
        assert "models are not deleted here" in answer.json["error"]["message"]


def test_head_is_get_without_the_body(caller: Caller) -> None:
    """P11: HEAD has the headers of GET."""
    id = caller.upload()
    for path in ("/v1/files", f"/v1/files/{id}", f"/v1/files/{id}/content"):
        whole, head = caller.ask("GET", path), caller.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert whole.headers["content-length"] == head.headers["content-length"]


def test_forged_headers_change_nothing(caller: Caller) -> None:
    """P12: what proxies say of the request is not believed."""
    forged = {
        "host": "evil.example",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "evil.example",
        "x-original-url": "/healthz",
        "x-rewrite-url": "/healthz",
        "x-forwarded-prefix": "/v2",
    }
    plain, answer = caller.ask("GET", "/v1/models"), caller.ask("GET", "/v1/models", None, forged)
    assert (plain.status, plain.body) == (answer.status, answer.body)
    assert b"evil" not in repr(answer.headers).encode()


@pytest.mark.parametrize("path", ["/v1/files", "/v1/nothing", "/v1/files/x"])
def test_every_answer_has_openais_headers(caller: Caller, path: str) -> None:
    """Clients show the request id, whatever the status."""
    answer, again = caller.ask("GET", path), caller.ask("GET", path)
    assert re.fullmatch("req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != again.headers["x-request-id"]
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["openai-processing-ms"].isdigit()
    assert answer.headers["content-type"] == "application/json"
    # By it another server of ours knows that this is no model server.
    assert answer.headers["server"] == "batchyard"


@pytest.fixture
def failing(small_caller: Caller) -> Caller:
    """A caller at a door of their own, which can be made to fail."""
    return small_caller


def test_our_own_faults_are_not_told(failing: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """500 says nothing of what happened; the log does, under the id of the request."""
    failing.door.fault = RuntimeError("by_very_secret")
    answer = failing.ask("GET", "/v1/models")
    assert answer.error == (500, None, None)
    assert b"secret" not in answer.body
    assert answer.headers["x-request-id"] in caplog.text
