"""The description of the API is complete, sound, and says what the server does."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import batchyard
from batchyard.server.app import ROUTES
from batchyard.server.describing import document
from batchyard.server.openapi import DESCRIBED, ERRORS
from tests.server.door import Caller, Door

DOCUMENT: dict[str, Any] = json.loads(json.dumps(document(ROUTES)))
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{verb.upper()} {path}": operation
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
}
LIMITED = [
    (route, one["schema"])
    for route, operation in OPERATIONS.items()
    for one in operation["parameters"]
    if one["name"] == "limit" and "{" not in route
]
BODIES = [
    route
    for route, operation in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {"content": {}})["content"]
]


def within(node: Any) -> Iterator[dict[str, Any]]:
    """All objects of the document."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for one in node.values() if isinstance(node, dict) else node:
            yield from within(one)


def test_every_route_is_described() -> None:
    """A route without a description fails here; so does a description without a route."""
    assert set(DESCRIBED) == {f"{verb} {path}" for path, verbs in ROUTES.items() for verb in verbs}
    for path, verbs in ROUTES.items():
        for verb, route in verbs.items():
            operation = OPERATIONS[f"{verb} {path}"]
            assert operation["x-scope"] == route.scope
            assert operation["summary"].endswith("."), path


def test_the_document_is_sound() -> None:
    """Every reference leads somewhere, names are given once, ids of paths are parameters."""
    for node in within(DOCUMENT):
        if isinstance(node.get("$ref"), str):
            found: Any = DOCUMENT
            for word in node["$ref"].removeprefix("#/").split("/"):
                found = found[word]
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    for route, operation in OPERATIONS.items():
        ids = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert ids == re.findall(r"\{(\w+)\}", route)
        for response in operation["responses"]:
            assert response == "200" or response in DOCUMENT["components"]["responses"]


@pytest.mark.parametrize(("route", "schema"), LIMITED)
def test_the_bounds_of_a_page_are_so(caller: Caller, route: str, schema: dict[str, Any]) -> None:
    """What the description says of `limit`, the server holds to."""
    path = route.split()[1]
    for limit, code in (
        (schema["minimum"] - 1, "integer_below_min_value"),
        (schema["maximum"] + 1, "integer_above_max_value"),
    ):
        assert caller.ask("GET", f"{path}?limit={limit}").error == (400, code, "limit")
    assert caller.ask("GET", f"{path}?start_time=0&limit={schema['maximum']}").status == 200


@pytest.mark.parametrize("route", [route for route in BODIES if "{" not in route])
def test_what_is_required_is_missed(caller: Caller, route: str) -> None:
    """Without any one of the parameters that the description requires, the server refuses."""
    schema = OPERATIONS[route]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"]
    path = route.split()[1]
    for name in schema["required"]:
        others = {other: sample(schema, other) for other in schema["required"] if other != name}
        answer = caller.post(path, others)
        assert answer.error == (400, "missing_required_parameter", name)


def sample(schema: dict[str, Any], name: str) -> Any:
    """A value that a parameter may have."""
    if name == "completion_window":
        return "24h"
    if name == "url":
        return "https://example.com/"
    one = schema["properties"][name]
    values = {"string": "x.jsonl", "integer": 1, "array": one.get("items", {}).get("enum", [])[:1]}
    return one["enum"][0] if "enum" in one else values[one["type"]]


def test_every_code_is_named() -> None:
    """A code that stands in the server's code stands in the description of its errors."""
    source = Path(batchyard.__file__).parent
    texts = [path.read_text() for path in (*source.glob("server/*.py"), source / "wire/errors.py")]
    used = {code for text in texts for code in re.findall(r'\bcode="(\w+)"', text)}
    named = {code for _, codes in ERRORS.values() for code in codes}
    assert used
    assert used - named == set()


@pytest.mark.parametrize("key", ["none", "wrong", "narrow"])
def test_everybody_reads_the_pages(door: Door, key: str) -> None:
    """A browser shows them without a key; they load nothing, and lead nowhere that is not there."""
    reader = door.caller(scopes=("api.usage.read",))
    if key == "none":
        reader.auth = {}
    elif key == "wrong":
        reader = Caller(door, "by_nobody", "")
    told = reader.ask("GET", "/openapi.json")
    assert (told.status, told.json) == (200, DOCUMENT)
    page = reader.ask("GET", "/docs")
    text = page.body.decode()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    style = re.findall("<style>(.*?)</style>", text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not re.search("<script|style=|https?://|<img|<link", text)
    for route in OPERATIONS:
        assert f">{route}</h3>" in text
    assert set(re.findall('href="#([^"]+)"', text)) <= set(re.findall('id="([^"]+)"', text))
    assert reader.ask("HEAD", "/docs").body == b""
    assert reader.ask("POST", "/docs", b"").status == (404 if key == "narrow" else 401)
