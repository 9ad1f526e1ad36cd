"""Keys: made on the machine of the server, shown once, refused once revoked."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.acceptance.conftest import House
from tests.acceptance.processes import Server, Sim, command, until

Serve = Callable[..., Server]


def keys(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchyard keys`."""
    return subprocess.run(
        command("keys", *words, "--data", str(data)), capture_output=True, text=True, check=False
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
