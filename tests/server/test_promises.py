"""Requests that come twice and must not take effect twice."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from openai import OpenAI

from batchyard.places.clock import Clock
from batchyard.server.upkeep import Upkeep
from tests.server.cutting import Cutter
from tests.server.door import LINE, Answer, Caller, form

ASKED = {
    "input_file_id": "file-none",
    "endpoint": "/v1/embeddings",
    "completion_window": "24h",
    "metadata": {"a": "b"},
}
UPLOAD = {"bytes": 1, "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}


def create(caller: Caller, headers: dict[str, str], **changed: object) -> Answer:
    """Create a batch with these headers."""
    sent = {"content-type": "application/json"} | headers
    return caller.ask("POST", "/v1/batches", msgspec.json.encode(ASKED | changed), sent)


def same(one: bytes, other: bytes) -> bool:
    """Whether two answers are the same, but for what we know of a batch at the moment."""
    return bare(one) == bare(other)


def bare(answer: bytes) -> dict[str, object]:
    """An answer as OpenAI would give it."""
    fields: dict[str, object] = msgspec.json.decode(answer)
    fields.pop("batchyard", None)
    return fields


def batches_of(caller: Caller) -> int:
    """How many batches there are."""
    return len(caller.ask("GET", "/v1/batches?limit=100").json["data"])


def test_the_first_answer_is_given_again(caller: Caller) -> None:
    """The same key and the same request: the same answer, even after a change."""
    named = {"idempotency-key": "one"}
    first = create(caller, named)
    assert first.status == 200
    assert "idempotent-replayed" not in first.headers
    assert caller.post(f"/v1/batches/{first.json['id']}/cancel", {}).status == 200
    turned = dict(reversed(ASKED.items()))
    for again in (create(caller, named), create(caller, named, **turned)):
        assert again.status == 200
        assert same(again.body, first.body)
        assert again.headers["idempotent-replayed"] == "true"
    assert batches_of(caller) == 1
    assert create(caller, {"idempotency-key": "two"}).json["id"] != first.json["id"]


def test_another_request_needs_another_key(caller: Caller) -> None:
    """400 for other parameters, or another route; other projects have keys of their own."""
    named = {"idempotency-key": "one", "content-type": "application/json"}
    assert create(caller, named).status == 200
    reused = (400, "idempotency_key_reused", "Idempotency-Key")
    assert create(caller, named, metadata={"a": "c"}).error == reused
    asked = msgspec.json.encode(UPLOAD)
    assert caller.ask("POST", "/v1/uploads", asked, named).error == reused
    assert create(caller.door.caller(), named).status == 200
    assert batches_of(caller) == 1


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_key_has_a_length(caller: Caller, name: str) -> None:
    """1 to 255 characters."""
    assert create(caller, {"idempotency-key": name}).error == (
        400,
        "invalid_value",
        "Idempotency-Key",
    )


def test_the_key_may_stand_in_the_body(caller: Caller) -> None:
    """Clients of other servers send it there."""
    first, again = (create(caller, {}, idempotency_key="k") for _ in range(2))
    assert same(first.body, again.body)
    assert batches_of(caller) == 1


def test_a_refused_request_keeps_no_key(caller: Caller) -> None:
    """Nothing was made, so the key is free for the request put right."""
    named = {"idempotency-key": "one"}
    assert create(caller, named, endpoint="/v1/none").status == 400
    assert create(caller, named).status == 200


def test_twenty_at_once_make_one_batch(caller: Caller) -> None:
    """F47: the others are told to ask again, or given the same answer."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: create(caller, {"idempotency-key": "k"}), range(20)))
    made = {answer.json["id"] for answer in answers if answer.status == 200}
    assert len(made) == 1
    for answer in answers:
        if answer.status != 200:
            assert answer.error == (409, "idempotency_key_in_use", None)
            assert answer.headers["x-should-retry"] == "true"
            assert int(answer.headers["retry-after-ms"]) > 0
    assert batches_of(caller) == 1


def test_a_key_is_forgotten_after_a_day(caller: Caller) -> None:
    """24 hours later the same key makes another batch."""
    first = create(caller, {"idempotency-key": "one"})
    yard = caller.door.yard
    for later, same in ((86_390, True), (86_410, False)):
        clock = Clock(wall=lambda later=later: yard.now() + later, steady=lambda: 0.0)  # type: ignore[misc]
        asyncio.run(Upkeep(yard.records, yard.blobs, yard.store, clock).sweep_promises())
        again = create(caller, {"idempotency-key": "one"})
        assert (again.json["id"] == first.json["id"]) == same


def test_a_silent_resend_is_known(caller: Caller) -> None:
    """Without a key: the same body from the same key, said to be a retry, is the same request."""
    first = create(caller, {"x-stainless-retry-count": "0"})
    for retry in ("1", "2"):
        assert same(create(caller, {"x-stainless-retry-count": retry}).body, first.body)
    assert batches_of(caller) == 1
    # Who asks anew, or asks for something else, means it.
    assert not same(create(caller, {"x-stainless-retry-count": "0"}).body, first.body)
    assert create(caller, {"x-stainless-retry-count": "1"}, metadata={}).status == 200
    other = caller.door.caller(project=_project(caller))
    assert create(other, {"x-stainless-retry-count": "1"}).status == 200
    assert batches_of(caller) == 4


def test_a_file_is_known_by_its_bytes(caller: Caller) -> None:
    """The same fields and bytes are the same upload; one other byte is another."""
    headers = {"content-type": "multipart/form-data; boundary=B", "idempotency-key": "f"}

    def sent(content: bytes) -> Answer:
        name = b'name="file"; filename="in.jsonl"'
        body = form((b'name="purpose"', b"batch"), (name, content))
        return caller.ask("POST", "/v1/files", body, headers)

    first = sent(LINE)
    assert (200, first.body) == (sent(LINE).status, sent(LINE).body)
    assert sent(LINE + b"\n").error == (400, "idempotency_key_reused", "Idempotency-Key")
    assert len(caller.ask("GET", "/v1/files").json["data"]) == 1
    assert len(list((caller.door.blobs_folder / "inputs").glob(f"{first.json['id']}*"))) == 1


@pytest.fixture
def cut(caller: Caller) -> Iterator[Callable[[str], tuple[OpenAI, Cutter]]]:
    """The official client behind a proxy that cuts the first answer to a route."""
    made: list[Cutter] = []

    def make(ending: str) -> tuple[OpenAI, Cutter]:
        made.append(Cutter(caller.door.port, ending))
        sdk = caller.sdk(max_retries=2)
        return sdk.with_options(base_url=made[-1].url), made[-1]

    yield make
    for one in made:
        one.close()


def test_the_official_client_loses_an_answer(
    caller: Caller, cut: Callable[[str], tuple[OpenAI, Cutter]]
) -> None:
    """G3: it sends the request again by itself, and gets what the first one made."""
    client, cutter = cut("/batches")
    with client:
        batch = client.batches.create(
            input_file_id="file-none", endpoint="/v1/embeddings", completion_window="24h"
        )
        first, second = cutter.answers
        assert (first[0], second[0]) == ("0", "1")
        assert same(first[1], second[1])
        assert [batch.id] == [one.id for one in caller.sdk().batches.list()]


def test_the_official_client_loses_the_answer_to_an_upload(
    caller: Caller, cut: Callable[[str], tuple[OpenAI, Cutter]]
) -> None:
    """One file, whether it was sent whole or in parts."""
    client, cutter = cut("/files")
    with client:
        file = client.files.create(file=("a.jsonl", LINE), purpose="batch")
    assert [file.id] == [one.id for one in caller.sdk().files.list()]
    # A part that comes twice is two parts, of which one is named; the file is the same.
    for ending in ("/uploads", "/parts", "/complete"):
        client, cutter = cut(ending)
        with client:
            done = client.uploads.upload_file_chunked(
                file=LINE, filename="a", bytes=len(LINE), mime_type="x", purpose="batch"
            )
        assert len(cutter.answers) == 2
        assert done.status == "completed"
        assert done.file is not None
        assert caller.ask("GET", f"/v1/files/{done.file.id}/content").body == LINE
    assert len(list(caller.sdk().files.list())) == 4


def _project(caller: Caller) -> str:
    return next(k.project_id for k in caller.door.identity.all_keys() if k.id == caller.key_id)
