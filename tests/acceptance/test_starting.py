"""A server that cannot start says why, and leaves nothing behind that the next start misses."""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.processes import Server, Sim, command


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
