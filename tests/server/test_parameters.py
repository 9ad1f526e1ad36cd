"""Parameters as clients and attackers send them: table P of the faults a request can have."""

import msgspec
import pytest

from batchyard.rules.endpoints import SELF_HOSTED
from tests.server.door import Caller

ENDPOINT_ERROR = "Invalid value: '/v1/nothing'. Supported values are: '/v1/"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0", "integer_below_min_value"),
        ("-1", "integer_below_min_value"),
        ("-" + "9" * 300, "integer_below_min_value"),
        ("10001", "integer_above_max_value"),
        (str(2**70), "integer_above_max_value"),
        ("1e3", "invalid_type"),
        ("abc", "invalid_type"),
        ("", "invalid_type"),
        ("1.0", "invalid_type"),
        ("%2B1", "invalid_type"),
        ("%D9%A3", "invalid_type"),
        ("%FF", "invalid_type"),
        ("9" * 5_000, "invalid_type"),
        ("1&limit=1", "invalid_value"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_limit_must_be_a_number_in_range(caller: Caller, path: str, text: str, code: str) -> None:
    """P1: 400 with OpenAI's code, param `limit`."""
    assert (400, code, "limit") == caller.ask("GET", f"{path}?limit={text}").error


@pytest.mark.parametrize(
    ("path", "limit", "status"),
    [
        ("/v1/files", 10_000, 200),
        ("/v1/files", 1, 200),
        ("/v1/batches", 100, 200),
        ("/v1/batches", 101, 400),
    ],
)
def test_the_bounds_of_limit(caller: Caller, path: str, limit: int, status: int) -> None:
    """P1: up to 10,000 files and 100 batches on a page."""
    assert status == caller.ask("GET", f"{path}?limit={limit}").status


@pytest.mark.parametrize(
    "after",
    ["nothing", "", "file-", "'%20OR%201=1--", "%00", "%FF", "x" * 7_000, "batch_0"],
)
@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_an_unknown_cursor_leads_to_an_empty_page(caller: Caller, path: str, after: str) -> None:
    """P2: whatever it is, there is nothing after it."""
    caller.upload()
    caller.create()
    page = caller.ask("GET", f"{path}?after={after}").json
    nothing: dict[str, object] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    assert nothing == page


def test_foreign_cursors_lead_to_an_empty_page(caller: Caller) -> None:
    """P2: another project's id, or the id of another kind of object, is an unknown one."""
    stranger = caller.door.caller()
    caller.upload()
    batch = caller.create().json["id"]
    for after in (stranger.upload(), batch):
        assert caller.ask("GET", f"/v1/files?after={after}").json["data"] == []


@pytest.mark.parametrize("query", ["order=up", "order=", "order=asc&order=asc", "after=a&after=b"])
def test_other_parameters_of_lists_are_checked(caller: Caller, query: str) -> None:
    """A parameter stands once, and has one of its values."""
    name = query.partition("=")[0]
    assert (400, "invalid_value", name) == caller.ask("GET", f"/v1/files?{query}").error


@pytest.mark.parametrize(
    "id",
    [
        "..",
        "..%2f",
        "..%2F..%2Fetc",
        "%2e%2e",
        "%00",
        "%FF",
        "%F0%9F%8D%B5",
        "a%0A",
        "x" * 7_000,
        "FILE-",
        "{id}",
        "'%20OR%201=1--",
        "req_0",
    ],
)
def test_a_strange_id_is_one_of_a_missing_object(caller: Caller, id: str) -> None:
    """P3: 404 with the text of a missing file or batch."""
    for path in (f"/v1/files/{id}", f"/v1/files/{id}/content"):
        answer = caller.ask("GET", path)
        assert answer.error == (404, None, "id")
        assert answer.json["error"]["message"].startswith("No such File object: ")
    for verb, path in (("GET", f"/v1/batches/{id}"), ("POST", f"/v1/batches/{id}/cancel")):
        answer = caller.ask(verb, path)
        assert answer.error == (404, None, None)
        assert answer.json["error"]["message"].startswith("No batch found with id '")


@pytest.mark.parametrize(
    ("metadata", "code", "param"),
    [
        (dict.fromkeys(map(str, range(17)), ""), "object_above_max_properties", "metadata"),
        ({"k" * 65: "v"}, "property_name_above_max_length", "metadata"),
        ({"k": "v" * 513}, "string_above_max_length", "metadata.k"),
        ({"k": 1}, "invalid_type", "metadata.k"),
        ({"k": None}, "invalid_type", "metadata.k"),
        ({"k": {"a": "b"}}, "invalid_type", "metadata.k"),
        ("", "invalid_type", "metadata"),
        ([], "invalid_type", "metadata"),
        (False, "invalid_type", "metadata"),
        ({"k": "\0"}, "invalid_value", "metadata.k"),
    ],
)
def test_metadata_is_up_to_sixteen_short_strings(
    caller: Caller, metadata: object, code: str, param: str
) -> None:
    """P4: 400 with OpenAI's codes."""
    assert (400, code, param) == caller.create(metadata=metadata).error


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"k" * 64: "v" * 512}, {"__proto__": "x", "": "", "ключ": "🍵"}],
)
def test_metadata_comes_back_as_it_was(caller: Caller, metadata: object) -> None:
    """P4: what is allowed is echoed exactly, in the batch and in lists."""
    made = caller.create(metadata=metadata).json
    assert metadata == made["metadata"]
    assert [made] == caller.ask("GET", "/v1/batches").json["data"]


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"completion_window": None}, "missing_required_parameter", "completion_window"),
        ({"completion_window": 24}, "invalid_type", "completion_window"),
        ({"completion_window": ""}, "invalid_value", "completion_window"),
        ({"completion_window": "59s"}, "invalid_value", "completion_window"),
        ({"completion_window": "31d"}, "invalid_value", "completion_window"),
        ({"completion_window": "24h "}, "invalid_value", "completion_window"),
        ({"endpoint": "/v1/nothing"}, "invalid_value", "endpoint"),
        ({"endpoint": "/v1/embeddings/"}, "invalid_value", "endpoint"),
        ({"endpoint": None}, "missing_required_parameter", "endpoint"),
        ({"endpoint": ["/v1/embeddings"]}, "invalid_type", "endpoint"),
        ({"input_file_id": None}, "missing_required_parameter", "input_file_id"),
        ({"input_file_id": {}}, "invalid_type", "input_file_id"),
        ({"input_file_id": "x" * 513}, "invalid_value", "input_file_id"),
        ({"input_file_id": "\0"}, "invalid_value", "input_file_id"),
    ],
)
def test_what_a_batch_is_made_of_is_checked(
    caller: Caller, changed: dict[str, object], code: str, param: str
) -> None:
    """P5: 400 that names the parameter."""
    assert (400, code, param) == caller.create(**changed).error


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        ({"anchor": "now", "seconds": 3_600}, "invalid_value", ".anchor"),
        ({"seconds": 3_600}, "missing_required_parameter", ".anchor"),
        ({"anchor": "created_at"}, "missing_required_parameter", ".seconds"),
        ({"anchor": "created_at", "seconds": 3_599}, "integer_below_min_value", ".seconds"),
        ({"anchor": "created_at", "seconds": 2_592_001}, "integer_above_max_value", ".seconds"),
        ({"anchor": "created_at", "seconds": "3600"}, "invalid_type", ".seconds"),
        ({"anchor": "created_at", "seconds": 3_600.0}, "invalid_type", ".seconds"),
        ({"anchor": "created_at", "seconds": True}, "invalid_type", ".seconds"),
        ({"anchor": "created_at", "seconds": 2**200}, "integer_above_max_value", ".seconds"),
        ("30d", "invalid_type", ""),
    ],
)
def test_the_lifetime_of_results_is_checked(
    caller: Caller, value: object, code: str, param: str
) -> None:
    """P5: an hour to thirty days after the results were made."""
    answer = caller.ask(
        "POST",
        "/v1/batches",
        _json(
            {
                "input_file_id": "file-none",
                "endpoint": "/v1/embeddings",
                "completion_window": "24h",
                "output_expires_after": value,
            }
        ),
        {"content-type": "application/json"},
    )
    assert (400, code, f"output_expires_after{param}") == answer.error


@pytest.mark.parametrize("window", ["1h", "48h", "7d", "1440m", ""])
def test_strictly_the_window_is_a_day(strict_caller: Caller, window: str) -> None:
    """P5: the strict profile knows 24h and nothing else."""
    answer = strict_caller.create(completion_window=window)
    assert answer.error == (400, "invalid_value", "completion_window")
    assert strict_caller.create().status == 200


@pytest.mark.parametrize(
    ("window", "seconds"), [("60s", 60), ("1m", 60), ("90m", 5_400), ("7d", 604_800)]
)
def test_relaxed_windows_are_durations(caller: Caller, window: str, seconds: int) -> None:
    """The relaxed profile takes a minute to thirty days, and keeps the spelling."""
    made = caller.create(completion_window=window).json
    assert (window, seconds) == (made["completion_window"], made["expires_at"] - made["created_at"])


def test_an_input_of_another_purpose_is_refused(caller: Caller) -> None:
    """P6: the file is there, but it is no input."""
    id = caller.upload(purpose="user_data")
    assert caller.create(input_file_id=id).error == (400, "invalid_value", "input_file_id")


def test_no_input_at_all_is_refused(caller: Caller) -> None:
    """P6: an empty id is a mistake of whoever asks, and told at once."""
    assert caller.create(input_file_id="").error == (400, "empty_string", "input_file_id")
    assert caller.ask("GET", "/v1/batches").json["data"] == []


@pytest.mark.parametrize("window", ["59s", "31d", "0h", "24", "1.5h", "1w", ""])
def test_the_range_of_windows_is_told(caller: Caller, window: str) -> None:
    """P5: any from a minute to thirty days, not only those that are named."""
    answer = caller.create(completion_window=window)
    assert answer.error == (400, "invalid_value", "completion_window")
    assert "any from 1 minute to 30 days" in answer.json["error"]["message"]


def test_an_input_that_cannot_be_found_is_accepted(caller: Caller) -> None:
    """P6: missing, foreign and deleted files look the same; the batch fails in validation."""
    gone, foreign = caller.upload(), caller.door.caller().upload(purpose="user_data")
    caller.ask("DELETE", f"/v1/files/{gone}")
    for id in (gone, foreign, "file-none", "x" * 512):
        answer = caller.create(input_file_id=id)
        assert (answer.status, answer.json["status"]) == (200, "validating")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"nonsense", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"{} {}", "application/json", 400),
        (b'{"a":NaN}', "application/json", 400),
        (b'{"endpoint":"a","endpoint":"b"}', "application/json", 400),
        (b"\xef\xbb\xbf{}", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a":' + b"[" * 500_000, "application/json", 400),
        (b'{"a":"' + b"x" * 10_000_000 + b'"}', "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
        (b'{"input_file_id":"\\ud800"}', "application/json", 400),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    caller: Caller, body: bytes, content_type: str, status: int
) -> None:
    """P7: 400, 413 or 415 in the envelope."""
    answer = caller.ask("POST", "/v1/batches", body, {"content-type": content_type})
    assert status == answer.error[0]


JSON_DOORS = (
    "/v1/batches",
    "/v1/batches/x/retry",
    "/v1/batches/x/resume",
    "/v1/uploads",
    "/v1/uploads/x/complete",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/x",
    "/v1/webhook_endpoints/x/test",
    "/v1/webhook_endpoints/x/rotate_secret",
    "/v1/organization/projects/x/rate_limits/y",
)


@pytest.mark.parametrize("path", JSON_DOORS)
def test_json_that_nests_too_deeply_is_refused_at_every_door(caller: Caller, path: str) -> None:
    """Beyond 128 levels it is not read at all, whatever the reader would bear."""
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        for levels in (128, 500, *range(960, 1_000, 3), 100_000):
            body = b'{"x":' + opened * levels + b"1" + closed * levels + b"}"
            headers = {"content-type": "application/json", "idempotency-key": "k"}
            answer = caller.ask("POST", path, body, headers)
            if path.startswith("/v1/organization"):
                # There is no such project, whatever is asked of it.
                assert answer.status == 404
                continue
            assert answer.status == 400, (levels, answer)
            assert "nested more than 128 levels" in answer.json["error"]["message"]


def test_json_that_nests_as_deeply_as_is_allowed_is_read(caller: Caller) -> None:
    """Brackets within a text do not count."""
    nested: object = "[" * 2_000 + "{" * 2_000
    for _ in range(126):
        nested = [nested]
    assert caller.create(unknown=nested).status == 200
    assert caller.create(unknown=[[nested]]).status == 400


def test_lone_surrogates_are_no_text(caller: Caller) -> None:
    """Half a character can be neither kept nor shown."""
    head = b'{"endpoint":"/v1/embeddings","completion_window":"24h",'
    for rest in (
        b'"input_file_id":"\\ud800"}',
        b'"input_file_id":"a","metadata":{"\\ud800":"a"}}',
        b'"input_file_id":"a","metadata":{"a":"\\ud800"}}',
    ):
        answer = caller.ask(
            "POST", "/v1/batches", head + rest, {"content-type": "application/json"}
        )
        assert answer.error[0] == 400


def test_unknown_fields_are_no_fault(caller: Caller) -> None:
    """What a newer client sends beside is left aside."""
    assert caller.create(pace="low", batchyard={"a": [1]}).status == 200


def test_the_supported_endpoints_are_named(caller: Caller) -> None:
    """Who errs is told what there is."""
    message = caller.create(endpoint="/v1/nothing").json["error"]["message"]
    assert message.startswith(ENDPOINT_ERROR)


@pytest.mark.parametrize("url", SELF_HOSTED)
def test_endpoints_of_self_hosted_servers(caller: Caller, strict_caller: Caller, url: str) -> None:
    """P5: the relaxed profile has them, the strict one neither takes nor names them."""
    assert caller.create(endpoint=url).json["endpoint"] == url
    answer = strict_caller.create(endpoint=url)
    assert answer.error == (400, "invalid_value", "endpoint")
    assert "audio" not in answer.json["error"]["message"].partition("Supported")[2]


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
