"""`batchyard gc` beside a server and after it."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from openai import OpenAI

from tests.acceptance.processes import (
    Server,
    Sim,
    batch_of,
    command,
    ended,
    request_lines,
    until,
)


def told(server: Server, *more: str) -> str:
    """What `batchyard gc` says."""
    return subprocess.run(
        command("gc", "--data", str(server.data), *more), capture_output=True, text=True, check=True
    ).stdout


def blobs_of(server: Server) -> set[Path]:
    """All blobs that there are."""
    return {path for path in (server.data / "blobs").rglob("*") if path.is_file()}


def aged(path: Path) -> Path:
    """A blob that nobody has touched for two hours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"y" * 700)
    hours_ago = time.time() - 7_300
    os.utime(path, (hours_ago, hours_ago))
    return path


def spoil(client: OpenAI, server: Server) -> tuple[str, Path, Path]:
    """A file that is deleted, an old left-over and a young one."""
    file = client.files.create(file=("a.jsonl", b"x" * 5_000), purpose="batch")
    inputs = server.data / "blobs" / "inputs"
    old, young = aged(inputs / "file-old"), inputs / "file-young"
    young.write_bytes(b"y" * 700)
    return file.id, old, young


def trash_of(server: Server) -> set[str]:
    """The names of the blobs in the trash."""
    return {path.name for path in (server.data / "blobs" / "trash").rglob("*") if path.is_file()}


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
    assert (old.name in dry, young.name in dry) == (True, False)
    assert "700 bytes  can be deleted" in dry
    assert told(server) == dry.replace("can be deleted", "deleted")
    assert (old.exists(), young.exists(), trash_of(server)) == (False, True, {old.name})
    assert "0 bytes  deleted" in told(server)
    client = server.start()
    assert batch.output_file_id is not None
    assert len(client.files.content(batch.output_file_id).text.splitlines()) == 3
    assert client.files.content(deleted).read() == b"x" * 5_000
    client.files.delete(deleted)
    server.kill()
    assert deleted not in {path.name for path in blobs_of(server)} or deleted in told(server)
    assert deleted not in {path.name for path in blobs_of(server)}


def test_much_that_no_row_names_is_left_alone(
    shared_sim: Sim, serve: Callable[..., Server]
) -> None:
    """Neither a start nor `gc` touches it; who is sure asks for it, and finds it in the trash."""
    server = serve([shared_sim.url])
    server.start()
    server.stop()
    many = [aged(server.data / "blobs" / "inputs" / f"file-{number}") for number in range(11)]
    server.start()
    until(lambda: server.events("unnamed_blobs_kept") == 1)
    server.stop()
    refused = subprocess.run(
        command("gc", "--data", str(server.data)), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "11 of 11 blobs have no row, and were left alone" in refused.stderr
    assert all(path.exists() for path in many)
    told(server, "--all")
    assert not any(path.exists() for path in many)
    assert trash_of(server) == {path.name for path in many}


def test_gc_leaves_alone_what_a_living_worker_wrote(
    sim: Sim, serve: Callable[..., Server], tmp_path: Path
) -> None:
    """A worker that outlives its server may yet name what it has written."""
    struck = tmp_path / "struck"
    server = serve([sim.url])
    client = server.start(
        BATCHYARD_FAULT="segment.before_sync:1:freeze", BATCHYARD_FAULT_ONCE=str(struck)
    )
    batch = batch_of(client, request_lines(20))
    until(struck.exists)
    worker = server.worker()
    until(lambda: worker.status() == "stopped")
    server.kill()
    (segment,) = (server.data / "blobs" / "results").rglob("*.jsonl")
    os.utime(segment, (0, 0))
    told(server)
    assert segment.exists()
    worker.resume()
    client = server.start()
    done = ended(client, batch)
    assert done.output_file_id is not None
    lines = client.files.content(done.output_file_id).text.splitlines()
    assert len({json.loads(line)["custom_id"] for line in lines}) == len(lines) == 20
