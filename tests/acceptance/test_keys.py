"""Keys: made on the machine of the server, shown once, refused once revoked."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.acceptance.conftest import House
from tests.acceptance.processes import (
    Server,
    Sim,
    batch_of,
    command,
    ended,
    request_lines,
    until,
)

Serve = Callable[..., Server]


def keys(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchyard keys`."""
    return subprocess.run(
        command("keys", *words, "--data", str(data)), capture_output=True, text=True, check=False
    )


def projects(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchyard projects`."""
    return subprocess.run(
        command("projects", *words, "--data", str(data)),
        capture_output=True,
        text=True,
        check=False,
    )


def refuses(server: Server, secret: str) -> bool:
    """Whether a server does not know this key."""
    try:
        server.client(secret).files.list()
    except openai.AuthenticationError:
        return True
    return False


def test_a_key_lives_until_it_is_revoked(house: House) -> None:
    """Created, listed without its secret, used, revoked, and refused soon after."""
    data = house.server.data
    created = keys(data, "create", "ci")
    secret = created.stdout.removesuffix("\n")
    assert (created.returncode, created.stderr) == (0, "")
    assert secret.startswith("by_")
    assert not secret.isspace()
    assert not refuses(house.server, secret)
    listed = keys(data, "list").stdout
    assert "ci" in listed
    assert secret not in listed
    assert keys(data, "revoke", "ci").returncode == 0
    until(lambda: refuses(house.server, secret))
    assert "revoked" in keys(data, "list").stdout
    assert not refuses(house.server, "key")


def test_a_key_tells_what_it_is(house: House) -> None:
    """Its project, its scopes, its end and its last use; wrong words are refused."""
    data = house.server.data
    project = projects(data, "create", "team", "--profile", "strict").stdout.strip()
    made = keys(
        data,
        *("create", "narrow", "--project", "team", "--expires", "30d"),
        *("--scopes", "api.files.read,api.batches.read"),
    )
    secret = made.stdout.strip()
    client = house.server.client(secret)
    assert client.files.list().data == []
    with pytest.raises(openai.PermissionDeniedError):
        client.models.list()
    line = next(one for one in keys(data, "list").stdout.splitlines() if "narrow" in one)
    assert "project team  scopes api.files.read,api.batches.read  expires 20" in line
    until(
        lambda: (
            "used never"
            not in next(one for one in keys(data, "list").stdout.splitlines() if "narrow" in one)
        )
    )
    assert project.startswith("proj_")
    for words in (
        ("create", "x", "--project", "nowhere"),
        ("create", "x", "--scopes", "api.everything"),
        ("create", "x", "--expires", "soon"),
    ):
        assert keys(data, *words).returncode != 0


def test_a_project_is_made_and_closed(house: House) -> None:
    """Its limits are its own, changed while the server runs; archived, it refuses its keys."""
    data = house.server.data
    assert projects(data, "create", "small", "--limit", "file_bytes_max=10").returncode == 0
    assert "already" in projects(data, "create", "small").stderr
    assert "file_bytes_max=10" in projects(data, "list").stdout
    client = house.server.client(keys(data, "create", "s", "--project", "small").stdout.strip())
    with pytest.raises(openai.APIStatusError, match="larger than 10 bytes"):
        client.files.create(file=("a.jsonl", b"x" * 100), purpose="batch")
    assert projects(data, "set", "small", "--limit", "file_bytes_max=default").returncode == 0
    assert projects(data, "set", "small", "--limit", "speed=1").returncode == 1
    assert projects(data, "set", "nowhere", "--profile", "strict").returncode == 1
    assert projects(data, "archive", "small").returncode == 0
    until(lambda: refuses(house.server, client.api_key))
    assert "archived" in projects(data, "list").stdout
    assert keys(data, "create", "late", "--project", "small").returncode == 1


def test_the_projects_profile_validates_its_batches(house: House) -> None:
    """Two models in one file are fine by default, and an error where a project is strict."""
    data = house.server.data
    projects(data, "create", "letter", "--profile", "strict")
    strict = house.server.client(keys(data, "create", "l", "--project", "letter").stdout.strip())
    body: dict[str, object] = {"messages": [{"role": "user", "content": "hi"}]}
    lines = b"".join(
        request_lines(1, {"model": model} | body).replace(b'"c0"', b'"%b"' % model.encode())
        for model in ("m1", "m2")
    )
    assert ended(house.client, batch_of(house.client, lines)).status == "completed"
    refused = ended(strict, batch_of(strict, lines))
    assert refused.status == "failed"
    assert refused.errors is not None
    assert [error.code for error in refused.errors.data or []] == ["mismatched_model"]


def test_an_unknown_key_is_refused(house: House) -> None:
    """By the server, and by the command that would revoke it."""
    assert refuses(house.server, "by_nobody")
    assert "There is no active key" in keys(house.server.data, "revoke", "nobody").stderr


def test_the_first_start_shows_its_key_once(sim: Sim, serve: Serve) -> None:
    """Without a key from the environment one is made; nothing can show it again."""
    server = serve([sim.url])
    server.start(BATCHYARD_API_KEY="")
    server.said()
    shown = server.said()
    assert shown.startswith("API key (shown only now): by_")
    secret = shown.split()[-1]
    assert not refuses(server, secret)
    assert secret not in server.log
    assert server.stop() == 0
    # The environment names the first key, and there is one already.
    server.start(BATCHYARD_API_KEY="late")
    assert not refuses(server, secret)
    assert refuses(server, "late")


def test_a_key_can_be_made_before_the_first_start(tmp_path: Path, sim: Sim, serve: Serve) -> None:
    """Then none is generated."""
    server = serve([sim.url])
    secret = keys(server.data, "create", "mine").stdout.strip()
    server.start(BATCHYARD_API_KEY="")
    assert not refuses(server, secret)


def test_keys_of_nowhere_cannot_be_listed(tmp_path: Path) -> None:
    """A wrong folder is named."""
    ran = keys(tmp_path / "nowhere", "list")
    assert ran.returncode == 1
    assert "There is no Batchyard data in" in ran.stderr
    with pytest.raises(FileNotFoundError):
        (tmp_path / "nowhere").stat()
