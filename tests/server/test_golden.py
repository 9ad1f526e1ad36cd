"""The keys of every object, pinned in files: a key that comes or goes is a decision."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.door import LINE, Caller, form

GOLDEN = Path(__file__).parent / "golden"
UPLOAD = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a.jsonl"', LINE))


def shape(value: Any) -> Any:
    """An object with the types in place of the values; a list by its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "null" if value is None else type(value).__name__


def ask(caller: Caller, what: str) -> Any:
    """The object of which there is a golden file."""
    file = caller.post_form(UPLOAD)
    batch = caller.create(metadata={"a": "b"})
    id = batch.json["id"]
    match what:
        case "file":
            return file.json
        case "file_deleted":
            return caller.ask("DELETE", f"/v1/files/{file.json['id']}").json
        case "file_list":
            return caller.ask("GET", "/v1/files").json
        case "batch":
            return batch.json
        case "batch_cancelling":
            return caller.ask("POST", f"/v1/batches/{id}/cancel").json
        case "batch_failed" | "batch_completed":
            caller.door.end(id, "failed" if what == "batch_failed" else "completed")
            return caller.ask("GET", f"/v1/batches/{id}").json
        case "batch_list":
            return caller.ask("GET", "/v1/batches").json
        case "webhook_endpoint" | "webhook_endpoint_with_secret" | "webhook_endpoint_list":
            return webhook(caller, what)
        case "webhook_event_types":
            return caller.ask("GET", "/v1/webhook_event_types").json
        case "model":
            return caller.ask("GET", "/v1/models/tiny").json
        case "model_list":
            return caller.ask("GET", "/v1/models").json
    return caller.ask("GET", "/v1/nothing").json


def webhook(caller: Caller, what: str) -> Any:
    """A webhook endpoint as it is shown in different places."""
    asked = {"name": "a", "url": "https://example.com/", "event_types": ["batch.failed"]}
    made = caller.post("/v1/webhook_endpoints", asked).json
    if what == "webhook_endpoint_with_secret":
        return made
    tail = "" if what == "webhook_endpoint_list" else f"/{made['id']}"
    return caller.ask("GET", f"/v1/webhook_endpoints{tail}").json


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_objects_keep_their_keys(caller: Caller, path: Path) -> None:
    """Names, order and types of all keys are those of the golden file."""
    assert (
        path.read_text(encoding="utf-8")
        == json.dumps(shape(ask(caller, path.stem)), indent=2) + "\n"
    )
