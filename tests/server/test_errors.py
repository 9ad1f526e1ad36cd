"""The errors of OpenAI's API to the letter: one table of answers, one of failed batches."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from batchyard.rules.limits import STRICT
from tests.server.door import LINE, Caller, Door, form
from tests.server.recorded import Running

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=B"}
CHAT = "/v1/chat/completions"
ENDPOINTS = (
    "'/v1/responses', '/v1/chat/completions', '/v1/embeddings', '/v1/completions', "
    "'/v1/moderations', '/v1/images/generations', '/v1/images/edits', and '/v1/videos'"
)


def named(name: bytes) -> bytes:
    """A form that uploads a batch file of this name."""
    return form((b'name="purpose"', b"batch"), (b'name="file"; filename="%b"' % name, LINE))


def asked(**changed: object) -> bytes:
    """The body of a create; None leaves a field out."""
    fields = {"input_file_id": "file-none", "endpoint": CHAT, "completion_window": "24h"} | changed
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


# Verb, path, body; status, code, param, message. The ids of the path are those of `ids`.
ANSWERS: dict[str, tuple[str, str, bytes, int, str | None, str | None, str]] = {
    "a name that is not .jsonl": (
        "POST",
        "/v1/files",
        named(b"in.txt"),
        400,
        None,
        None,
        "Invalid file format for Batch API. Must be .jsonl",
    ),
    "an unknown file": (
        "GET",
        "/v1/files/file-x",
        b"",
        404,
        None,
        "id",
        "No such File object: file-x",
    ),
    "an unknown file's content": (
        "GET",
        "/v1/files/file-x/content",
        b"",
        404,
        None,
        "id",
        "No such File object: file-x",
    ),
    "an unknown file, deleted": (
        "DELETE",
        "/v1/files/file-x",
        b"",
        404,
        None,
        "id",
        "No such File object: file-x",
    ),
    "a file that is not downloaded": (
        "GET",
        "/v1/files/{user_data}/content",
        b"",
        400,
        None,
        None,
        "Not allowed to download files of purpose: user_data",
    ),
    "an unknown endpoint": (
        "POST",
        "/v1/batches",
        asked(endpoint="/v1/nothing"),
        400,
        "invalid_value",
        "endpoint",
        f"Invalid value: '/v1/nothing'. Supported values are: {ENDPOINTS}.",
    ),
    "another window": (
        "POST",
        "/v1/batches",
        asked(completion_window="1h"),
        400,
        "invalid_value",
        "completion_window",
        "Invalid value: '1h'. Supported values are: '24h'.",
    ),
    "no window": (
        "POST",
        "/v1/batches",
        asked(completion_window=None),
        400,
        "missing_required_parameter",
        "completion_window",
        "Missing required parameter: 'completion_window'.",
    ),
    "metadata that is no string": (
        "POST",
        "/v1/batches",
        asked(metadata={"k": 1}),
        400,
        "invalid_type",
        "metadata.k",
        "Invalid type for 'metadata.k': expected a string, but got an integer instead.",
    ),
    "17 keys of metadata": (
        "POST",
        "/v1/batches",
        asked(metadata={str(number): "" for number in range(17)}),
        400,
        "object_above_max_properties",
        "metadata",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    "a long value of metadata": (
        "POST",
        "/v1/batches",
        asked(metadata={"k": "v" * 513}),
        400,
        "string_above_max_length",
        "metadata.k",
        "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but "
        "got a string with length 513 instead.",
    ),
    "P4: a key of metadata twice": (
        "POST",
        "/v1/batches",
        asked(metadata={"k": "v"}).replace(b'"k": "v"', b'"k":"v","k":"w"'),
        400,
        None,
        None,
        "We could not parse the JSON body of your request.",
    ),
    "P6: an input of another purpose": (
        "POST",
        "/v1/batches",
        asked(input_file_id="{user_data}"),
        400,
        "invalid_value",
        "input_file_id",
        "Invalid 'input_file_id': the file has the purpose 'user_data'; upload it with the purpose "
        "'batch'.",
    ),
    "P6: an output file as the input": (
        "POST",
        "/v1/batches",
        asked(input_file_id="{output}"),
        400,
        "invalid_value",
        "input_file_id",
        "Invalid 'input_file_id': the file has the purpose 'batch_output'; upload it with the "
        "purpose 'batch'.",
    ),
    "an unknown batch": (
        "GET",
        "/v1/batches/batch_x",
        b"",
        404,
        None,
        None,
        "No batch found with id 'batch_x'.",
    ),
    "an unknown batch, cancelled": (
        "POST",
        "/v1/batches/batch_x/cancel",
        b"",
        404,
        None,
        None,
        "No batch found with id 'batch_x'.",
    ),
    "a completed batch, cancelled": (
        "POST",
        "/v1/batches/{completed}/cancel",
        b"",
        409,
        None,
        None,
        "Cannot cancel a batch with status 'completed'.",
    ),
    "a failed batch, cancelled": (
        "POST",
        "/v1/batches/{failed}/cancel",
        b"",
        409,
        None,
        None,
        "Cannot cancel a batch with status 'failed'.",
    ),
    "an expired batch, cancelled": (
        "POST",
        "/v1/batches/{expired}/cancel",
        b"",
        409,
        None,
        None,
        "Cannot cancel a batch with status 'expired'.",
    ),
}


@pytest.fixture(scope="module")
def ids(strict_door: Door) -> tuple[Caller, dict[str, str]]:
    """A caller, and the ids of what the table asks about."""
    caller = strict_door.caller()
    found = {"user_data": caller.upload(purpose="user_data")}
    done = Running(caller, 1)
    done.record({0: "hi"})
    done.release()
    done.step()
    batch = caller.ask("GET", f"/v1/batches/{done.id}").json
    found |= {"completed": done.id, "output": batch["output_file_id"]}
    for end in ("failed", "expired"):
        found[end] = caller.create().json["id"]
        strict_door.end(found[end], end)
    return caller, found


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_a_request_is_refused_in_openais_words(
    ids: tuple[Caller, dict[str, str]],
    case: tuple[str, str, bytes, int, str | None, str | None, str],
) -> None:
    """Status, type, code, param and message of each failure, in the strict profile."""
    caller, found = ids
    verb, path, body, status, code, param, message = case
    for name, id in found.items():
        path, body = (
            path.replace(f"{{{name}}}", id),
            body.replace(b"{%b}" % name.encode(), id.encode()),
        )
    answer = caller.ask(verb, path, body, FORM if body.startswith(b"--") else JSON)
    told = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert (answer.status, answer.json) == (status, {"error": told})


@pytest.mark.parametrize("status", ["cancelling", "cancelled"])
def test_to_cancel_twice_is_no_fault(strict_caller: Caller, status: str) -> None:
    """The present object comes back."""
    id = strict_caller.create().json["id"]
    strict_caller.ask("POST", f"/v1/batches/{id}/cancel")
    if status == "cancelled":
        strict_caller.door.end(id, "cancelled")
    answer = strict_caller.ask("POST", f"/v1/batches/{id}/cancel")
    assert (answer.status, answer.json["status"]) == (200, status)


# Failed batches


def line(custom_id: str = "a", url: str = CHAT, **changed: Any) -> bytes:
    """One request of chat; None leaves a field out."""
    fields = {"custom_id": custom_id, "method": "POST", "url": url, "body": body()} | changed
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode() + b"\n"


def body(**changed: Any) -> dict[str, Any]:
    """The body of such a request."""
    fields = {"model": "m", "messages": []} | changed
    return {name: value for name, value in fields.items() if value is not None}


UNPARSEABLE = "This line is not parseable as valid JSON"
# Content; code, line, param, and how the message begins.
FAILURES: dict[str, tuple[bytes, str, int | None, str | None, str]] = {
    "not JSON": (line() + b"nonsense\n", "invalid_json_line", 2, None, UNPARSEABLE),
    **{
        f"no {name}": (
            line("b") + line(**{name: None}),  # type: ignore[arg-type]
            "missing_required_parameter",
            2,
            name,
            f"Missing required parameter: '{name}'.",
        )
        for name in ("custom_id", "method", "url", "body")
    },
    "no messages": (
        line(body=body(messages=None)),
        "missing_required_parameter",
        1,
        "body.messages",
        "Missing required parameter: 'messages'.",
    ),
    "a body for another url": (
        line(url="/v1/completions"),
        "invalid_url",
        1,
        "url",
        "The URL '/v1/completions' of this request does not match the endpoint ",
    ),
    "another url": (
        line(url="/v1/responses", body=body(input="x")),
        "invalid_url",
        1,
        "url",
        "The URL '/v1/responses' of this request does not match the endpoint ",
    ),
    "the same id": (
        line() + line("b") + line(),
        "duplicate_custom_id",
        3,
        "custom_id",
        "The custom_id 'a' ",
    ),
    "two models": (
        line() + line("b", body=body(model="n")),
        "mismatched_model",
        2,
        "body.model",
        "The model 'n' does not match",
    ),
    "an unknown model": (
        line(body=body(model="unknown")),
        "model_not_found",
        1,
        "body.model",
        "The provided model 'unknown' is not supported by the Batch API.",
    ),
    "a stream": (
        line(body=body(stream=True)),
        "streaming_unsupported",
        1,
        "body.stream",
        "Chat Completions: Streaming is not supported in the Batch API.",
    ),
    "another method": (line(method="GET"), "invalid_method", 1, "method", "The method must be"),
    "a body that is no object": (line(body=[]), "invalid_request", 1, "body", "The body must be"),
    "too many requests": (
        b"".join(line(str(number)) for number in range(5)),
        "maximum_requests_exceeded",
        None,
        None,
        "The input file has 5 requests; a batch may have at most 4.",
    ),
    "too many bytes": (
        line(body=body(user="x" * 2_000)),
        "maximum_input_file_size_exceeded",
        None,
        None,
        "The input file has 2,",
    ),
    "too many inputs": (
        line(url="/v1/embeddings", body=body(messages=None, input=list("abcdef"))),
        "maximum_embedding_inputs_exceeded",
        None,
        None,
        "The input file has 6 embedding inputs; a batch may have at most 5.",
    ),
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A strict door with limits that a test can reach."""
    limits = msgspec.structs.replace(
        STRICT, requests_max=4, input_bytes_max=2_000, embedding_inputs_max=5
    )
    door = Door(tmp_path_factory.mktemp("narrow"), limits)
    yield door
    door.close()


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_a_batch_fails_in_openais_words(
    narrow: Door, case: tuple[bytes, str, int | None, str | None, str]
) -> None:
    """Code, line, param and message; no results, no counts, and nothing enqueued."""
    content, code, at, param, message = case
    caller = narrow.caller()
    input_id = caller.upload(content)
    endpoint = "/v1/embeddings" if b"embeddings" in content else CHAT
    check_failed(caller, input_id, endpoint, (code, at, param, message))


def test_a_batch_of_a_missing_file_fails(narrow: Door) -> None:
    """What was deleted, or is another's, is not found when the batch is validated."""
    caller = narrow.caller()
    deleted, foreign = caller.upload(line()), narrow.caller().upload(line())
    caller.ask("DELETE", f"/v1/files/{deleted}")
    upload = caller.post(
        "/v1/uploads", {"bytes": 1, "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}
    ).json["id"]
    for id in (deleted, foreign, upload, "file-none"):
        message = (
            f"Cannot find file {id}, or organization org-batchyard does not have access to it."
        )
        check_failed(caller, id, CHAT, ("invalid_request", None, "file_id", message))


def test_a_batch_over_the_quota_fails(narrow: Door) -> None:
    """OpenAI's words and the figures, for a batch too large and for one too many."""
    caller = narrow.caller()
    first = Running(caller, 1, line(body=body(model="m")))
    project = next(k.project_id for k in narrow.identity.all_keys() if k.id == caller.key_id)
    for most, figures in (
        (6, "This batch alone needs 7: split its input file."),
        (13, "Used: 7. This batch needs 7."),
    ):
        narrow.records.set_limit(project, "*", most, 1)
        message = (
            "Enqueued token limit reached for m in organization org-batchyard. Limit: "
            f"{most} enqueued tokens. Please try again once some in_progress batches have been "
            f"completed. {figures}"
        )
        told = ("token_limit_exceeded", None, None, message)
        check_failed(caller, caller.upload(line()), CHAT, told)
    (headroom,) = narrow.records.headroom(project)
    assert [one.batch_id for one in headroom.holders] == [first.id]
    assert headroom.waiting == ()


def check_failed(
    caller: Caller, input_id: str, endpoint: str, told: tuple[str, int | None, str | None, str]
) -> None:
    """A batch of this input fails, and says this one thing."""
    id = caller.create(input_file_id=input_id, endpoint=endpoint).json["id"]
    Running.of(caller, id)
    batch = caller.ask("GET", f"/v1/batches/{id}").json
    assert (batch["status"], batch["errors"]["object"]) == ("failed", "list")
    (error,) = batch["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == told[:3]
    assert error["message"].startswith(told[3])
    assert set(error) == {"code", "line", "param", "message"}
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert batch["failed_at"] >= batch["created_at"]


# Faults of the routes that came later


@pytest.fixture(scope="module")
def upload(strict_door: Door) -> tuple[Caller, str]:
    """A caller, and an upload that waits for parts."""
    caller = strict_door.caller()
    begun = {"bytes": 1, "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}
    return caller, caller.post("/v1/uploads", begun).json["id"]


PART = (b'name="data"; filename="a"', b"x")


@pytest.mark.parametrize(
    ("body", "content_type", "code", "param"),
    [
        (form((b'name="data"', b"x")), FORM["content-type"], None, "data"),
        (form(PART, PART), FORM["content-type"], None, "data"),
        (form(PART)[:-7], FORM["content-type"], None, None),
        (b"", FORM["content-type"], None, None),
        (form(), FORM["content-type"], "missing_required_parameter", "data"),
        (form(PART), "multipart/form-data", None, None),
        (form(PART), "application/octet-stream", None, None),
    ],
    ids=["no name", "two", "no closing boundary", "empty", "no part", "no boundary", "no form"],
)
def test_a_faulty_part_is_refused(
    upload: tuple[Caller, str], body: bytes, content_type: str, code: str | None, param: str | None
) -> None:
    """M1, M2, M4, M6, of a part of an upload: 400, and nothing is kept of it."""
    caller, id = upload
    path = f"/v1/uploads/{id}/parts"
    answer = caller.ask("POST", path, body, {"content-type": content_type})
    assert answer.error == (400, code, param)
    assert b"'purpose'" not in answer.body
    assert caller.door.records.parts_of(id) == {}


@pytest.mark.parametrize("id", ["%00", "%FF", "..%2f", "a%0A", "x" * 7_000, "file-x"])
@pytest.mark.parametrize("verb", ["parts", "complete", "cancel"])
def test_a_strange_id_is_one_of_a_missing_upload(caller: Caller, id: str, verb: str) -> None:
    """P3: 404, whatever it is."""
    answer = caller.ask("POST", f"/v1/uploads/{id}/{verb}", b"{}", JSON)
    assert answer.error == (404, None, "id")
    assert answer.json["error"]["message"].startswith("No such Upload object: ")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"nonsense", JSON["content-type"], 400),
        (b"[]", JSON["content-type"], 400),
        (b"null", JSON["content-type"], 400),
        (b'{"a":NaN}', JSON["content-type"], 400),
        (b'{"a":1,"a":2}', JSON["content-type"], 400),
        (b'{"a":' + b"[" * 500_000, JSON["content-type"], 400),
        (b'{"a":"' + b"x" * 10_000_000 + b'"}', JSON["content-type"], 413),
        (b"{}", "text/plain", 415),
    ],
    ids=["no JSON", "array", "null", "NaN", "a key twice", "deep", "10 MB", "plain text"],
)
@pytest.mark.parametrize("path", ["uploads", "uploads/{}/complete", "webhook_endpoints"])
def test_no_route_takes_what_is_no_json_object(
    upload: tuple[Caller, str], path: str, body: bytes, content_type: str, status: int
) -> None:
    """P7: 400, 413 or 415 in the envelope, wherever JSON is taken."""
    caller, id = upload
    answer = caller.ask("POST", f"/v1/{path.format(id)}", body, {"content-type": content_type})
    assert answer.error == (status, None, None)
