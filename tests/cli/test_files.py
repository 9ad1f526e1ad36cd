"""`batchyard files` as it is called."""

import json
from pathlib import Path

import pytest

from batchyard.client.apis import remote
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home


def test_files_go_there_and_come_back(home: Home) -> None:
    """Uploaded, listed, downloaded by the beginning of its id, deleted."""
    content = request_lines(5)
    Path("in.jsonl").write_bytes(content)
    id = call("files", "put", "in.jsonl").stdout.strip()
    rows = [json.loads(line) for line in call("files", "ls", "--json").stdout.splitlines()]
    assert (rows[0]["id"], rows[0]["filename"], rows[0]["bytes"]) == (id, "in.jsonl", len(content))
    assert id in call("files", "ls", "--purpose", "batch").stdout
    done = call("files", "get", id[:20], "-o", "out.jsonl", "--json")
    assert json.loads(done.stdout)["bytes"] == len(content)
    assert Path("out.jsonl").read_bytes() == content
    assert call("files", "get", id).stdout.encode() == content
    assert call("files", "rm", id).exit_code == 0
    assert call("files", "get", id).exit_code == 1
    assert call("files", "rm", id).exit_code == 1


def test_a_download_goes_on_where_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is kept, what is missing is asked for by range, piece by piece."""
    content = request_lines(50)
    Path("in.jsonl").write_bytes(content)
    id = call("files", "put", "in.jsonl").stdout.strip()
    monkeypatch.setattr(remote, "_PIECE_BYTES", 1_000)
    Path(f".out.jsonl.{id}.partial").write_bytes(content[:1_234])
    done = call("files", "get", id, "-o", "out.jsonl", "--json")
    assert json.loads(done.stdout)["resumed_from"] == 1_234
    assert Path("out.jsonl").read_bytes() == content
    assert [one.name for one in Path().iterdir()].count("out.jsonl") == 1
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 1


def test_a_wrong_part_is_not_gone_on_with(home: Home) -> None:
    """More bytes than the file has are no part of it; the next call begins anew."""
    Path("in.jsonl").write_bytes(request_lines(2))
    id = call("files", "put", "in.jsonl").stdout.strip()
    Path(f".out.jsonl.{id}.partial").write_bytes(b"x" * 10_000)
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 1
    assert not Path("out.jsonl").exists()
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 0


def test_an_empty_file_is_one_too(home: Home) -> None:
    """It has no range, and no bytes."""
    Path("empty.jsonl").write_bytes(b"")
    id = call("files", "put", "empty.jsonl").stdout.strip()
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 0
    assert Path("out.jsonl").read_bytes() == b""
    assert call("files", "get", id).exit_code == 0
