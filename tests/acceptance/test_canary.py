"""Secrets and bodies are put through everything, and then searched for where they must not be."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
from openai import OpenAI

from tests.acceptance.processes import Server, Sim, batch_of, ended, request_lines
from tests.acceptance.test_keys import keys

KEY = "by_canaryKeyOfTheClient0123456789abcdefghijklm"
STRANGER = "by_canaryKeyOfAStranger0123456789abcdefghijkl"
UPSTREAM_KEY = "sk-canaryKeyOfTheUpstream0123456789"
BODY = "canary body 9b1f7c"
FORM = (
    f'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{BODY}\r\n--B--\r\n'
)


def everything(url: str, client: OpenAI) -> list[str]:
    """Use the server in good and in bad ways; returns what it said in errors and lists."""
    said: list[str] = []
    body = {"model": "m1", "messages": [{"role": "user", "content": BODY}]}
    lines = request_lines(3, body)
    good = ended(client, batch_of(client, lines))
    bad = ended(client, batch_of(client, lines.replace(b'"POST"', b'"GET"', 1) + b"{" + lines))
    said += [good.to_json(), bad.to_json()]
    batch_of(client, request_lines(1, {**body, "model": "nobody", "n": BODY}))
    for verb, path, content, headers in (
        ("POST", "/batches", json.dumps({"endpoint": "x", "prompt": BODY}), {}),
        ("POST", "/batches", json.dumps({"a": BODY})[:-1], {}),
        ("POST", "/files", BODY, {}),
        ("POST", "/files", FORM, {"content-type": "multipart/form-data; boundary=B"}),
        ("GET", "/files", None, {"openai-project": "proj_x"}),
        ("GET", "/files/x", None, {}),
        ("GET", "/files", None, {"authorization": f"Bearer {STRANGER}"}),
        ("GET", "/files", None, {"authorization": f"Basic {STRANGER}"}),
        ("GET", "/files", None, {"x-client-request-id": "find me"}),
        ("GET", "/batches", None, {}),
    ):
        said.append(plainly(url, verb, path, content, headers))
    return said


def plainly(url: str, verb: str, path: str, content: str | None, headers: dict[str, str]) -> str:
    """All that comes back when asked without a client."""
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=10)
    try:
        auth = {"authorization": f"Bearer {KEY}"}
        connection.request(verb, host.path + path, content, auth | headers)
        answer = connection.getresponse()
        return f"{answer.status} {answer.getheaders()} {answer.read()!r}"
    finally:
        connection.close()


def hook(client: OpenAI) -> tuple[set[str], list[str]]:
    """Make a webhook endpoint and rotate its secret; returns the secrets, and what lists say."""
    asked: dict[str, Any] = {
        "name": "canary",
        "url": "https://hook.invalid/",
        "event_types": ["batch.completed"],
    }
    made: Any = client.post("/webhook_endpoints", body=asked, cast_to=object)
    path = f"/webhook_endpoints/{made['id']}"
    rotated: Any = client.post(f"{path}/rotate_secret", cast_to=object)
    shown = [str(client.get(one, cast_to=object)) for one in (path, "/webhook_endpoints")]
    return {made["signing_secret"], rotated["signing_secret"]}, shown


def test_no_secret_is_kept_or_told(sim: Sim, serve: Callable[..., Server], tmp_path: Path) -> None:
    """Not in logs, not in the database, not in names of files, not in errors; bodies neither."""
    server = serve([sim.url], cancel_grace_seconds=0.5)
    with (server.folder / "batchyard.toml").open("a") as toml:
        toml.write('api_key_env = "CANARY_UPSTREAM_KEY"\n')
    environment = {"BATCHYARD_API_KEY": KEY, "CANARY_UPSTREAM_KEY": UPSTREAM_KEY}
    server.start(**environment)
    client = server.client(KEY)
    hook_secrets, said = hook(client)
    said += everything(server.url, client)
    sim.set("faults", "500:1.0")
    stuck = batch_of(client, request_lines(2, {"model": "m1", "messages": [], "x": BODY}))
    server.kill()
    server.start(**environment)
    client = server.client(KEY)
    client.batches.cancel(stuck.id)
    ended(client, stuck)
    try:
        server.client(STRANGER).files.list()
    except openai.AuthenticationError as error:
        said.append(str(error))
    listed = keys(server.data, "list")
    said += [listed.stdout, listed.stderr]
    assert server.stop() == 0

    secrets = {KEY, STRANGER, UPSTREAM_KEY, *hook_secrets}
    told = "\n".join([server.log, *said])
    assert "find me" in server.log
    assert not {one for one in (*secrets, BODY) if one in told}
    files = [path for path in server.data.rglob("*") if path.is_file()]
    names = "\n".join(str(path) for path in files)
    assert not {one for one in (*secrets, BODY) if one in names}
    kept = {path: path.read_bytes() for path in files}
    blobs = server.data / "blobs"
    # What is signed with must be at hand; the folder is its owner's alone.
    for secret in (KEY, STRANGER, UPSTREAM_KEY):
        assert not [path for path, content in kept.items() if secret.encode() in content]
    with_body = [path for path, content in kept.items() if BODY.encode() in content]
    assert with_body
    assert all(path.is_relative_to(blobs) for path in with_body)
    assert not server.data.stat().st_mode & 0o077
