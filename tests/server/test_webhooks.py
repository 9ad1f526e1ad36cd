"""Webhook endpoints, as the official client manages them."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from batchyard.rules.telling import ENDPOINTS_MAX
from tests.server.door import Caller, Door
from tests.server.receiver import Receiver

URL = "https://hooks.example.com/batches?team=a"
ASKED = {"name": "night", "url": URL, "event_types": ["batch.completed"]}


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    with caller.sdk() as client:
        yield client


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A door whose webhooks may stay on this machine."""
    open_door = Door(tmp_path_factory.mktemp("home"), private_webhooks=True)
    yield open_door
    open_door.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def test_an_endpoint_lives_and_dies(client: OpenAI) -> None:
    """Create, retrieve, list, update, delete; the secret is shown once."""
    made = client.webhooks.create(name="night", url=URL, event_types=["batch.completed"])
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret_hint == f"whsec_********{made.signing_secret[-4:]}"
    assert (made.name, made.url, made.event_types) == ("night", URL, ["batch.completed"])
    shown = client.webhooks.retrieve(made.id)
    assert made.model_dump(exclude={"signing_secret"}) == shown.model_dump()
    assert [shown] == list(client.webhooks.list())
    changed = client.webhooks.update(made.id, name="day")
    assert (changed.name, changed.url, changed.event_types) == ("day", URL, ["batch.completed"])
    changed = client.webhooks.update(made.id, event_types=["batch.failed", "video.failed"])
    assert (changed.name, changed.event_types) == ("day", ["batch.failed", "video.failed"])
    assert client.webhooks.delete(made.id).deleted
    assert list(client.webhooks.list()) == []


def test_a_change_that_changes_nothing_leaves_no_mark(door: Door) -> None:
    """`updated_at` is that of the last change, and of the creation before."""
    made = door.caller("proj_marks").post("/v1/webhook_endpoints", ASKED).json
    assert made["updated_at"] == made["created_at"]
    for changed, at in (({"name": "night"}, made["updated_at"]), ({"name": "day"}, 2_000_000_000)):
        row = door.yard.webhooks.change("proj_marks", made["id"], changed, 2_000_000_000)
        assert row is not None
        assert row.updated_at == at


def test_endpoints_are_paged(client: OpenAI) -> None:
    """Newest first, page by page, nothing twice."""
    ids = [
        client.webhooks.create(name=str(n), url=URL, event_types=["batch.failed"]).id
        for n in range(5)
    ]
    assert ids[::-1] == [one.id for one in client.webhooks.list(limit=2)]
    assert list(client.webhooks.list(after="we_none")) == []


def test_a_secret_is_rotated(client: OpenAI) -> None:
    """The new one is shown, and its hint from then on."""
    made = client.webhooks.create(name="night", url=URL, event_types=["batch.completed"])
    rotated = client.webhooks.rotate_secret(made.id)
    assert made.signing_secret != rotated.signing_secret
    hint = client.webhooks.retrieve(made.id).signing_secret_hint
    assert hint == rotated.signing_secret_hint != made.signing_secret_hint


def test_a_rotation_needs_no_body(caller: Caller) -> None:
    """Clients may send nothing at all."""
    id = caller.post("/v1/webhook_endpoints", ASKED).json["id"]
    assert caller.ask("POST", f"/v1/webhook_endpoints/{id}/rotate_secret").status == 200


def test_event_types_are_listed(client: OpenAI) -> None:
    """Among them the four that are fired here."""
    listed = client.webhooks.event_types.list().data
    assert set(listed) >= {
        f"batch.{end}" for end in ("completed", "failed", "expired", "cancelled")
    }


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 404, 410, 429, 500, 503])
def test_a_test_that_is_not_answered_with_success_has_failed(
    home: Door, receiver: Receiver, status: int
) -> None:
    """A delivery would be tried again after such an answer; so the test says it is no success."""
    receiver.answers = [status]
    caller = home.caller()
    asked = {"name": "n", "url": receiver.url, "event_types": ["batch.completed"]}
    id = caller.post("/v1/webhook_endpoints", asked).json["id"]
    path = f"/v1/webhook_endpoints/{id}/test"
    answer = caller.post(path, {"event_type": "batch.completed"})
    receiver.next()
    assert answer.error == (400, "webhook_delivery_failed", None)
    assert str(status) in answer.json["error"]["message"]


def test_a_test_delivery_is_verified(home: Door, receiver: Receiver) -> None:
    """It goes out at once; the client accepts it, and the receiver's answer is told."""
    receiver.answers = [204]
    with home.caller().sdk() as client:
        made = client.webhooks.create(
            name="night", url=receiver.url, event_types=["batch.completed"]
        )
        told = client.webhooks.test(made.id, event_type="batch.expired")
        came = receiver.next()
        event = client.webhooks.unwrap(came.body, came.headers, secret=made.signing_secret)
    assert (204, made.id, True) == (told.status_code, told.webhook_endpoint_id, told.success)
    assert (event.type, came.path) == ("batch.expired", "/hook?team=a")
    assert came.headers["webhook-id"] != event.id
    assert came.headers["webhook-id"].startswith("wh_")


def test_a_redirect_is_an_answer(home: Door, receiver: Receiver) -> None:
    """Nobody goes where a receiver points."""
    receiver.answers = [(302, {"location": receiver.url})]
    caller = home.caller()
    id = caller.post("/v1/webhook_endpoints", ASKED | {"url": receiver.url}).json["id"]
    told = caller.post(f"/v1/webhook_endpoints/{id}/test", {"event_type": "batch.failed"})
    assert told.error == (400, "webhook_delivery_failed", None)
    assert "answered 302" in told.json["error"]["message"]
    receiver.next()
    assert receiver.came.empty()


def test_a_receiver_that_is_not_there(home: Door) -> None:
    """A test that was not answered is refused, without a word on where it went."""
    caller = home.caller()
    gone = Receiver()
    gone.close()
    id = caller.post("/v1/webhook_endpoints", ASKED | {"url": gone.url}).json["id"]
    told = caller.post(f"/v1/webhook_endpoints/{id}/test", {"event_type": "batch.failed"})
    assert told.error == (400, "webhook_delivery_failed", None)
    assert str(gone.port) not in told.json["error"]["message"]


def test_a_private_receiver_is_not_called(home: Door, caller: Caller, receiver: Receiver) -> None:
    """An endpoint that could be created under other settings is refused when it is called."""
    row = {"name": "x", "url": receiver.url, "event_types": ["batch.failed"]}
    assert caller.post("/v1/webhook_endpoints", row).error == (400, "invalid_value", "url")
    assert home.caller().post("/v1/webhook_endpoints", row).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "https://",
        "https://user:word@hooks.example.com/",
        "https://good\\@127.0.0.1/",
        "https://hooks.example.com:22/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nx: y",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0/",
        "https://①②⑦.⓪.⓪.①/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
    ],
)
def test_urls_that_lead_nowhere_good(caller: Caller, url: str) -> None:
    """They are refused at once, at creation and at change."""
    id = caller.post("/v1/webhook_endpoints", ASKED).json["id"]
    for path in ("/v1/webhook_endpoints", f"/v1/webhook_endpoints/{id}"):
        answer = caller.post(path, ASKED | {"url": url})
        assert answer.error == (400, "invalid_value", "url")


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"name": None}, "missing_required_parameter", "name"),
        ({"url": None}, "missing_required_parameter", "url"),
        ({"event_types": None}, "missing_required_parameter", "event_types"),
        ({"event_types": "batch.failed"}, "invalid_type", "event_types"),
        ({"event_types": []}, "empty_array", "event_types"),
        ({"event_types": [1]}, "invalid_type", "event_types[0]"),
        ({"event_types": ["batch.failed", "x"]}, "invalid_value", "event_types[1]"),
        ({"name": 7}, "invalid_type", "name"),
    ],
)
def test_bad_parameters(caller: Caller, changed: dict[str, object], code: str, param: str) -> None:
    """Each is named."""
    asked = {**ASKED, **changed}
    assert caller.post("/v1/webhook_endpoints", asked).error == (400, code, param)


def test_bad_flags_and_types(caller: Caller) -> None:
    """Those of rotation and test are named too."""
    base = f"/v1/webhook_endpoints/{caller.post('/v1/webhook_endpoints', ASKED).json['id']}"
    flag = "keep_old_secret_active_for_24_hours"
    assert caller.post(f"{base}/rotate_secret", {flag: 1}).error == (400, "invalid_type", flag)
    told = caller.post(f"{base}/test", {"event_type": "x"})
    assert told.error == (400, "invalid_value", "event_type")


def test_an_endpoint_of_another_project_is_missing(caller: Caller, door: Door) -> None:
    """Byte for byte the answer of one that never was."""
    id = caller.post("/v1/webhook_endpoints", ASKED).json["id"]
    other = door.caller()
    calls = [
        ("GET", "", b""),
        ("POST", "", b"{}"),
        ("DELETE", "", b""),
        ("POST", "/rotate_secret", b"{}"),
        ("POST", "/test", b'{"event_type":"batch.failed"}'),
    ]
    json = {"content-type": "application/json"}
    for verb, tail, body in calls:
        theirs = other.ask(verb, f"/v1/webhook_endpoints/{id}{tail}", body, json)
        missing = other.ask(verb, f"/v1/webhook_endpoints/we_none{tail}", body, json)
        assert theirs.error == missing.error == (404, None, None)
        assert theirs.body.replace(id.encode(), b"we_none") == missing.body
    with other.sdk() as client, pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(id)


def test_a_project_has_so_many_endpoints(tmp_path: Path) -> None:
    """One more is refused."""
    door = Door(tmp_path)
    try:
        caller = door.caller()
        for _ in range(ENDPOINTS_MAX):
            assert caller.post("/v1/webhook_endpoints", ASKED).status == 200
        answer = caller.post("/v1/webhook_endpoints", ASKED)
        assert answer.error == (400, "webhook_endpoint_limit_reached", None)
    finally:
        door.close()
