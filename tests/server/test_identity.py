"""Projects and keys: what a key opens, for what, and until when."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import openai
import pytest

from batchyard.places.store.rows import ProjectRow
from tests.server.door import LINE, Caller, Door, form
from tests.server.until import until

SCOPED = "You have insufficient permissions for this operation. Missing scopes: "


def project(door: Door, name: str, **changed: object) -> str:
    """A project of its own."""
    row = ProjectRow(id=f"proj_{name}", name=name, created_at=1)
    assert door.identity.add_project(msgspec.structs.replace(row, **changed))
    return row.id


def test_a_key_does_what_it_was_made_for(door: Door) -> None:
    """403 names the scope that is missing; the official client raises its own error."""
    reader = door.caller(scopes=("api.files.read", "api.batches.read"))
    assert reader.ask("GET", "/v1/files").status == 200
    assert reader.ask("GET", "/v1/batches").status == 200
    refused = reader.create()
    assert refused.error == (403, None, None)
    assert refused.json["error"]["message"].startswith(f"{SCOPED}api.batches.write. Check")
    with pytest.raises(openai.PermissionDeniedError, match=r"api\.files\.write"):
        reader.sdk().files.create(file=("a.jsonl", LINE), purpose="batch")


def test_a_key_without_any_scope_may_do_nothing(door: Door) -> None:
    """No scopes at all is not the same as no restriction."""
    assert door.caller(scopes=()).ask("GET", "/v1/models").error == (403, None, None)


def test_a_key_expires(door: Door) -> None:
    """From its time on it is as unknown as one that never was."""
    now = door.yard.now()
    caller = door.caller(expires_at=now + 2)
    assert caller.ask("GET", "/v1/files").status == 200
    until(lambda: caller.ask("GET", "/v1/files").status == 401)
    assert now + 2 <= door.yard.now() <= now + 4
    assert caller.ask("GET", "/v1/files").error == (401, "invalid_api_key", None)


def test_the_headers_of_another_project_are_refused(strict_caller: Caller) -> None:
    """Who believes to work in another project or organization learns it; empty means none."""
    caller = strict_caller
    own = next(k.project_id for k in caller.door.identity.all_keys() if k.id == caller.key_id)
    for headers in (
        {},
        {"openai-project": own, "openai-organization": "org-batchyard"},
        {"openai-project": "", "openai-organization": ""},
    ):
        answer = caller.ask("GET", "/v1/files", None, headers)
        assert (answer.status, answer.headers["openai-organization"]) == (200, "org-batchyard")
    for name in ("Project", "Organization"):
        answer = caller.ask("GET", "/v1/files", None, {f"OpenAI-{name}": "proj_default"})
        assert answer.error == (401, f"mismatched_{name.lower()}", None)
        assert answer.json["error"]["message"] == (
            f"OpenAI-{name} header should match {name.lower()} for API key"
        )
    with pytest.raises(openai.AuthenticationError):
        caller.sdk(project="proj_other").files.list()


def test_an_organization_of_openai_does_no_harm(caller: Caller) -> None:
    """A shell may still name one, and the relaxed profile takes no notice; a project counts."""
    assert caller.ask("GET", "/v1/files", None, {"OpenAI-Organization": "org-x"}).status == 200
    other = caller.ask("GET", "/v1/files", None, {"OpenAI-Project": "proj_x"})
    assert other.error == (401, "mismatched_project", None)


def test_an_archived_project_is_closed(door: Door) -> None:
    """All its keys are refused within a second, and its name cannot be taken again."""
    caller = door.caller(project=project(door, "gone"))
    assert caller.ask("GET", "/v1/files").status == 200
    assert door.identity.archive_project("gone", 2)
    assert not door.identity.archive_project("gone", 3)
    until(lambda: caller.ask("GET", "/v1/files").status == 401)
    assert caller.ask("GET", "/v1/files").error == (401, "not_authorized_invalid_project", None)
    assert not door.identity.add_project(ProjectRow(id="proj_x", name="gone", created_at=1))


def test_a_project_has_limits_of_its_own(door: Door) -> None:
    """Its profile decides what a batch may ask, its limits how large a file is."""
    strict = door.caller(project=project(door, "strict", profile="strict"))
    small = door.caller(project=project(door, "small", limits={"file_bytes_max": 50}))
    assert door.caller().create(completion_window="7d").status == 200
    assert strict.create(completion_window="7d").error[1] == "invalid_value"
    assert strict.post_form(upload_of(b"a.txt")).error == (400, None, None)
    assert small.post_form(upload_of(b"a.txt")).error[0] == 413
    assert door.identity.set_project("small", profile=None, limits=None)
    until(lambda: small.post_form(upload_of(b"a.txt")).status == 200)


def upload_of(name: bytes) -> bytes:
    """A form that uploads a batch file of this name."""
    return form((b'name="purpose"', b"batch"), (b'name="file"; filename="%b"' % name, LINE))


def test_the_use_of_a_key_is_noted(caller: Caller) -> None:
    """Soon after, and not again within the minute."""
    identity = caller.door.identity

    def used() -> int | None:
        return next(key.last_used_at for key in identity.all_keys() if key.id == caller.key_id)

    assert used() is None
    before = caller.door.yard.now()
    caller.ask("GET", "/v1/files")
    until(lambda: used() is not None)
    noted = used()
    assert noted is not None
    assert noted >= before
    identity.key_used(caller.key_id, noted + 59)
    assert used() == noted
    identity.key_used(caller.key_id, noted + 60)
    assert used() == noted + 60


def test_a_revoked_key_ends_its_upload(caller: Caller) -> None:
    """Whoever uploads while the key is revoked gets no further, and nothing is kept."""
    body = upload_of(b"a.jsonl")
    head = caller.head_of(
        "POST",
        "/v1/files",
        "content-type: multipart/form-data; boundary=B",
        f"content-length: {len(body) + 10_000_000}",
    )
    with caller.door.connect() as connection:
        connection.sendall(head + body[:40])
        until(lambda: caller.ask("GET", "/v1/files").status == 200)
        caller.door.identity.revoke_key(caller.key_id, 1)
        until(lambda: caller.ask("GET", "/v1/files").status == 401)
        connection.sendall(body[40:80])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


@pytest.fixture
def slow_caller(tmp_path: Path) -> Iterator[Caller]:
    """A caller at a door where a key may ask three times a minute."""
    slow = Door(tmp_path, requests_per_minute=3)
    yield slow.caller()
    slow.close()


def test_a_key_may_ask_so_often_a_minute(slow_caller: Caller) -> None:
    """429 says when to come again; every answer says how much is left; other keys go on."""
    left = [slow_caller.ask("GET", "/v1/nothing").headers for _ in range(3)]
    assert [one["x-ratelimit-remaining-requests"] for one in left] == ["2", "1", "0"]
    assert {one["x-ratelimit-limit-requests"] for one in left} == {"3"}
    refused = slow_caller.ask("GET", "/v1/files")
    error = refused.json["error"]
    assert (refused.status, error["type"], error["code"]) == (
        429,
        "requests",
        "rate_limit_exceeded",
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert 1 <= int(refused.headers["retry-after-ms"]) <= 20_000
    assert refused.headers["x-should-retry"] == "true"
    with pytest.raises(openai.RateLimitError):
        slow_caller.sdk().files.list()
    assert slow_caller.door.caller().ask("GET", "/v1/files").status == 200


def test_a_request_can_be_found_by_the_clients_name(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """`X-Client-Request-Id` stands in the log beside our id; a bad one is refused."""
    caplog.set_level(logging.INFO, "batchyard")
    answer = caller.ask("GET", "/v1/files", None, {"x-client-request-id": "trace-7f3a"})
    assert answer.status == 200
    ours = answer.headers["x-request-id"]
    until(lambda: "trace-7f3a" in caplog.text and ours in caplog.text)
    for bad in ("x" * 513, "caf\u00e9"):
        assert caller.ask("GET", "/v1/files", None, {"x-client-request-id": bad}).error[0] == 400
