"""A server that cannot start says why, and leaves nothing behind that the next start misses."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from batchyard.places.folder import DataFolder
from batchyard.places.store import open_store
from tests.acceptance.processes import Server, Sim, batch_of, command, ended, request_lines


def failed(folder: Path, *words: str, **environment: str) -> str:
    """What `batchyard serve` says when it gives up."""
    without: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if name != "BATCHYARD_API_KEY"
    }
    done = subprocess.run(
        command("serve", "--data", str(folder / "data"), *words),
        cwd=folder,
        env={**without, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    return done.stderr


def test_the_first_key_is_shown_by_the_first_start_that_succeeds(tmp_path: Path, sim: Sim) -> None:
    """A start that finds its port taken makes no key, which nobody would ever see."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failed(tmp_path, "--port", str(port), "--upstream", sim.url)
    assert f"Cannot listen on 127.0.0.1, port {port}" in said
    server = Server(tmp_path, [sim.url])
    server.start(BATCHYARD_API_KEY="")
    assert "upstreams: " in server.said()
    assert "API key (shown only now): by_" in server.said()
    server.close()


def test_a_server_is_not_its_own_upstream(tmp_path: Path) -> None:
    """OPENAI_BASE_URL may be there for clients of this very server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://localhost:{port}/v1"
    said = failed(tmp_path, "--port", str(port), OPENAI_BASE_URL=url)
    assert f"The upstream {url} is this server itself." in said


def test_a_database_that_is_gone_costs_no_blob(sim: Sim, serve: Callable[..., Server]) -> None:
    """The start is refused with what to do, for `keys` too; who accepts it loses no blob."""
    server = serve([sim.url])
    client = server.start()
    batch = ended(client, batch_of(client, request_lines(3)))
    server.stop()
    database = server.data / "batchyard.sqlite"
    database.rename(server.folder / "away")
    said = failed(server.folder, "--port", "0", "--upstream", sim.url)
    assert "there are blobs, but batchyard.sqlite is not there" in said
    assert len(said.splitlines()) == 1
    made = subprocess.run(
        command("keys", "create", "x", "--data", str(server.data)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (1, said)
    blobs = [path for path in (server.data / "blobs").rglob("*.jsonl") if path.is_file()]
    client = server.start(words=["--accept-database"])
    assert not client.batches.list().data
    server.stop()
    assert blobs
    assert all(path.exists() for path in blobs)
    assert batch.output_file_id is not None


UPSTREAM = '[[upstream]]\nurl = "http://127.0.0.1:9/v1"\n'


@pytest.mark.parametrize(
    ("toml", "environment", "said"),
    [
        ("workers = 0\n" + UPSTREAM, {}, "batchyard.toml, line 1: workers = 0 must be"),
        (UPSTREAM + "api_key_env = 'A_KEY'", {"A_KEY": "se\ncret"}, "character that a key cannot"),
        (UPSTREAM, {"BATCHYARD_API_KEY": "secr\u2013et"}, "The key from BATCHYARD_API_KEY has"),
        ("", {"OPENAI_BASE_URL": "localhost:8000"}, "OPENAI_BASE_URL: Base URL"),
        ("host = 'a..b'\n" + UPSTREAM, {}, "Cannot listen on a..b"),
    ],
)
def test_no_wrong_setting_ends_in_a_traceback(
    tmp_path: Path, toml: str, environment: dict[str, str], said: str
) -> None:
    """One line says what is wrong, and nothing is left running."""
    (tmp_path / "batchyard.toml").write_text(toml)
    told = failed(tmp_path, **environment)
    assert said in told
    assert "Traceback" not in told
    assert "cret" not in told


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    """So is any other that cannot be used."""
    (tmp_path / "batchyard.toml").write_text(UPSTREAM)
    (tmp_path / "data").touch()
    said = failed(tmp_path)
    assert "cannot be used: File exists" in said
    assert "Traceback" not in said
    made = command("keys", "create", "k", "--data", str(tmp_path / "data"))
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert (done.returncode, "cannot be used: File exists" in done.stderr) == (1, True)


@pytest.mark.parametrize("how", ["damaged", "locked"])
@pytest.mark.parametrize("words", [["serve", "--port", "0"], ["keys", "create", "x"], ["gc"]])
def test_a_database_that_cannot_be_used_is_told_on_a_line(
    words: list[str], how: str, tmp_path: Path
) -> None:
    """By the server, and by each verb beside it: what is wrong, and what to do."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    open_store(folder.database_url).close()
    with closing(sqlite3.connect(folder.database, isolation_level=None)) as other:
        if how == "locked":
            other.execute("BEGIN IMMEDIATE")
        else:
            folder.database.write_bytes(b"nonsense" * 1_000)
        done = subprocess.run(
            command(*words, "--data", str(folder.path)),
            cwd=tmp_path,
            env=os.environ | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    said = "is no database, or is damaged" if how == "damaged" else "is locked by another program"
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert said in line
