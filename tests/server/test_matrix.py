"""Every route by everybody: what a key may not do, it may not do anywhere."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import pytest

from batchyard.places.store.rows import ProjectRow
from batchyard.server.app import ROUTES
from batchyard.server.scopes import SCOPES, ScopeName
from tests.server.door import LINE, Answer, Caller, Door, form


class Asked(NamedTuple):
    """A route as it may be asked for: with this scope, and with this body."""

    scope: ScopeName
    body: bytes | None = None
    content_type: str = "application/json"


FORM = "multipart/form-data; boundary=B"
FILE = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', LINE))
PART = form((b'name="data"; filename="a"', LINE))
BATCH = b'{"input_file_id":"file-x","endpoint":"/v1/embeddings","completion_window":"24h"}'
UPLOAD = b'{"filename":"a.jsonl","purpose":"batch","bytes":10,"mime_type":"application/jsonl"}'
HOOK = b'{"name":"h","url":"https://example.com/","event_types":["batch.completed"]}'
# A route that does not stand here fails the test below: think of who may use it, then add it.
LISTED: Mapping[str, Asked] = {
    "GET /v1/files": Asked("api.files.read"),
    "POST /v1/files": Asked("api.files.write", FILE, FORM),
    "GET /v1/files/{id}": Asked("api.files.read"),
    "DELETE /v1/files/{id}": Asked("api.files.write"),
    "GET /v1/files/{id}/content": Asked("api.files.read"),
    "POST /v1/uploads": Asked("api.files.write", UPLOAD),
    "POST /v1/uploads/{id}/parts": Asked("api.files.write", PART, FORM),
    "POST /v1/uploads/{id}/complete": Asked("api.files.write", b'{"part_ids":["part_x"]}'),
    "POST /v1/uploads/{id}/cancel": Asked("api.files.write"),
    "GET /v1/batches": Asked("api.batches.read"),
    "POST /v1/batches": Asked("api.batches.write", BATCH),
    "GET /v1/batches/{id}": Asked("api.batches.read"),
    "POST /v1/batches/{id}/cancel": Asked("api.batches.write"),
    "GET /v1/organization/usage/audio_speeches": Asked("api.usage.read"),
    "GET /v1/organization/usage/audio_transcriptions": Asked("api.usage.read"),
    "GET /v1/organization/usage/code_interpreter_sessions": Asked("api.usage.read"),
    "GET /v1/organization/usage/completions": Asked("api.usage.read"),
    "GET /v1/organization/usage/decisions": Asked("api.usage.read"),
    "GET /v1/organization/usage/embeddings": Asked("api.usage.read"),
    "GET /v1/organization/usage/file_search_calls": Asked("api.usage.read"),
    "GET /v1/organization/usage/images": Asked("api.usage.read"),
    "GET /v1/organization/usage/moderations": Asked("api.usage.read"),
    "GET /v1/organization/usage/vector_stores": Asked("api.usage.read"),
    "GET /v1/organization/usage/web_search_calls": Asked("api.usage.read"),
    "GET /v1/organization/costs": Asked("api.usage.read"),
    "POST /v1/batches/{id}/retry": Asked("api.batches.write"),
    "GET /v1/batches/{id}/results": Asked("api.files.read"),
    "GET /v1/batches/{id}/output": Asked("api.files.read"),
    "GET /v1/batches/{id}/errors": Asked("api.files.read"),
    "POST /v1/batches/{id}/pause": Asked("api.batches.write"),
    "POST /v1/batches/{id}/resume": Asked("api.batches.write"),
    "GET /v1/batchyard/quota": Asked("api.batches.read"),
    "GET /v1/organization/projects/{id}/rate_limits": Asked("api.limits.read"),
    "POST /v1/organization/projects/{id}/rate_limits/{rate_limit_id}": Asked(
        "api.limits.write", b'{"batch_1_day_max_input_tokens":1}'
    ),
    "GET /v1/models": Asked("api.model.read"),
    "GET /v1/models/{id}": Asked("api.model.read"),
    "GET /v1/webhook_endpoints": Asked("api.webhooks.read"),
    "POST /v1/webhook_endpoints": Asked("api.webhooks.write", HOOK),
    "GET /v1/webhook_endpoints/{id}": Asked("api.webhooks.read"),
    "POST /v1/webhook_endpoints/{id}": Asked("api.webhooks.write", b'{"name":"h"}'),
    "DELETE /v1/webhook_endpoints/{id}": Asked("api.webhooks.write"),
    "POST /v1/webhook_endpoints/{id}/rotate_secret": Asked("api.webhooks.write"),
    "POST /v1/webhook_endpoints/{id}/test": Asked(
        "api.webhooks.write", b'{"event_type":"batch.completed"}'
    ),
    "GET /v1/webhook_event_types": Asked("api.webhooks.read"),
}
# Models belong to nobody, and nobody makes a project by the API.
OWNED = [
    route
    for route in LISTED
    if "{id}" in route and "/models/" not in route and "/projects/" not in route
]


def ask(caller: Caller, route: str, id: str = "x") -> Answer:
    """Ask for a route as its row says."""
    verb, path = route.split()
    asked = LISTED[route]
    headers = {"content-type": asked.content_type} if asked.body is not None else {}
    return caller.ask(verb, path.replace("{id}", id), asked.body, headers)


def test_every_route_is_listed() -> None:
    """With the scope that it demands."""
    demanded = {
        f"{verb} {path}": route.scope
        for path, verbs in ROUTES.items()
        for verb, route in verbs.items()
    }
    assert {route: asked.scope for route, asked in LISTED.items()} == demanded


@pytest.fixture(scope="module")
def refused(door: Door) -> Mapping[str, tuple[Caller, str | None]]:
    """Callers that nothing lets in, and the code by which they are told so."""
    missing, malformed, unknown = (Caller(door, "by_nobody", "") for _ in range(3))
    missing.auth = {}
    malformed.auth = {"authorization": "Basic dXNlcjpwYXNz"}
    revoked = door.caller()
    door.identity.revoke_key(revoked.key_id, 1)
    elsewhere = door.caller()
    elsewhere.auth |= {"openai-project": "proj_elsewhere"}
    door.identity.add_project(
        ProjectRow(id="proj_closed", name="closed", created_at=1, archived_at=2)
    )
    return {
        "no key": (missing, None),
        "malformed": (malformed, "invalid_api_key"),
        "unknown": (unknown, "invalid_api_key"),
        "revoked": (revoked, "invalid_api_key"),
        "expired": (door.caller(expires_at=1), "invalid_api_key"),
        "of an archived project": (
            door.caller(project="proj_closed"),
            "not_authorized_invalid_project",
        ),
        "for another project": (elsewhere, "mismatched_project"),
    }


@pytest.mark.parametrize("route", LISTED)
def test_nobody_comes_in_without_a_good_key(
    refused: Mapping[str, tuple[Caller, str | None]], route: str
) -> None:
    """401, by whatever way, and nothing of the object is told."""
    for name, (caller, code) in refused.items():
        assert ask(caller, route).error == (401, code, None), name


@pytest.mark.parametrize("route", LISTED)
def test_a_scope_opens_its_own_routes(
    door: Door, scoped: Mapping[ScopeName, Caller], route: str
) -> None:
    """Each key with one scope is refused by all other routes, which name the scope they want."""
    needed = LISTED[route].scope
    for scope, caller in scoped.items():
        answer = ask(caller, route)
        if scope == needed:
            assert answer.status not in (401, 403, 405)
        else:
            assert answer.error == (403, None, None), scope
            assert f"Missing scopes: {needed}. " in answer.json["error"]["message"]
    assert ask(door.caller(), route).status not in (401, 403, 405)


@pytest.fixture(scope="module")
def scoped(door: Door) -> Mapping[ScopeName, Caller]:
    """A caller for each scope, who has no other."""
    return {scope: door.caller(scopes=(scope,)) for scope in SCOPES}


@pytest.mark.parametrize("route", OWNED)
def test_anothers_object_is_as_a_missing_one(door: Door, route: str) -> None:
    """G11: byte for byte the same 404; and the owner's object is there as before."""
    owner, stranger = door.caller(), door.caller()
    id = own_id(owner, route.split()[1].split("/")[2])
    missing = "x" * len(id)
    foreign, absent = ask(stranger, route, id), ask(stranger, route, missing)
    assert (foreign.status, foreign.body) == (
        404,
        absent.body.replace(missing.encode(), id.encode()),
    )
    assert absent.status == 404
    assert set(foreign.headers) == set(absent.headers)
    assert ask(owner, route, id).body != foreign.body


@pytest.mark.parametrize("kind", ["files", "batches", "webhook_endpoints"])
def test_anothers_object_is_no_cursor(door: Door, kind: str) -> None:
    """A list tells nothing about the ids of others."""
    owner, stranger = door.caller(), door.caller()
    id = own_id(owner, kind)
    own_id(stranger, kind)
    foreign, absent = (
        stranger.ask("GET", f"/v1/{kind}?after={after}") for after in (id, "x" * len(id))
    )
    assert (foreign.status, foreign.body) == (absent.status, absent.body)
    assert foreign.json["data"] == []


def own_id(caller: Caller, kind: str) -> str:
    """The id of a new object of this caller."""
    made = ask(caller, f"POST /v1/{kind}")
    assert made.status == 200, made.body
    id: str = msgspec.json.decode(made.body)["id"]
    return id
