"""`batchyard gc` beside a server and after it."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from openai import OpenAI

from tests.acceptance.processes import Server, Sim, batch_of, command, ended, request_lines


def told(server: Server, *more: str) -> str:
    """What `batchyard gc` says."""
    return subprocess.run(
        command("gc", "--data", str(server.data), *more), capture_output=True, text=True, check=True
    ).stdout


def blobs_of(server: Server) -> set[Path]:
    """All blobs that there are."""
    return {path for path in (server.data / "blobs").rglob("*") if path.is_file()}


def spoil(client: OpenAI, server: Server) -> tuple[str, Path, Path]:
    """A file that is deleted, an old left-over and a young one."""
    file = client.files.create(file=("a.jsonl", b"x" * 5_000), purpose="batch")
    old, young = (server.data / "blobs" / "inputs" / name for name in ("file-old", "file-young"))
    for path in (old, young):
        path.write_bytes(b"y" * 700)
    hours_ago = time.time() - 7_300
    os.utime(old, (hours_ago, hours_ago))
    return file.id, old, young


def test_what_nothing_needs_is_told_and_deleted(
    shared_sim: Sim, serve: Callable[..., Server]
) -> None:
    """Beside a server it only tells; without one it deletes, and only what it told."""
    server = serve([shared_sim.url])
    client = server.start()
    batch = ended(client, batch_of(client, request_lines(3)))
    deleted, old, young = spoil(client, server)
    before = blobs_of(server)
    beside = told(server)
    assert (str(old.name) in beside, str(young.name) in beside) == (True, False)
    assert "can be deleted" in beside
    assert before == blobs_of(server)
    server.stop()
    before = blobs_of(server)
    dry = told(server, "--dry-run")
    assert before == blobs_of(server)
    assert all(path.name in dry for path in (old, young))
    assert "1,400 bytes  can be deleted" in dry
    assert told(server) == dry.replace("can be deleted", "deleted")
    assert blobs_of(server) == before - {old, young}
    assert "0 bytes  deleted" in told(server)
    client = server.start()
    assert batch.output_file_id is not None
    assert len(client.files.content(batch.output_file_id).text.splitlines()) == 3
    assert client.files.content(deleted).read() == b"x" * 5_000
    client.files.delete(deleted)
    server.kill()
    assert deleted not in {path.name for path in blobs_of(server)} or deleted in told(server)
    assert deleted not in {path.name for path in blobs_of(server)}
