"""`batchyard files` as it is called."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home
from tests.client.breaking import Breaking


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


@pytest.fixture
def way(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    """A way to the server on which answers break off."""
    one = Breaking(home.server.url)
    monkeypatch.setenv("OPENAI_BASE_URL", one.url)
    yield one
    one.close()


def test_a_download_goes_on_where_it_was(way: Breaking) -> None:
    """However often it is cut short; also when the command was, and is called again."""
    content = request_lines(2_500)
    Path("in.jsonl").write_bytes(content)
    id = call("files", "put", "in.jsonl").stdout.strip()
    way.cuts = [150_000, 150_000]
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 0
    assert Path("out.jsonl").read_bytes() == content
    way.cuts = [150_000] + [1_000] * 4
    assert call("files", "get", id, "-o", "other.jsonl").exit_code == 1
    way.cuts, way.carried = [], []
    done = call("files", "get", id, "-o", "other.jsonl", "--json")
    assert 140_000 < json.loads(done.stdout)["resumed_from"] < 150_000
    assert sum(way.carried) < len(content) < 150_000 + sum(way.carried)
    assert Path("other.jsonl").read_bytes() == content
    assert sorted(one.name for one in Path().glob("*.*")) == [
        "in.jsonl",
        "other.jsonl",
        "out.jsonl",
    ]
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 1


def test_what_is_piped_goes_on_too(way: Breaking) -> None:
    """No byte is missing, and none comes twice."""
    content = request_lines(2_500)
    Path("in.jsonl").write_bytes(content)
    id = call("files", "put", "in.jsonl").stdout.strip()
    way.cuts = [150_000, 150_000]
    assert call("files", "get", id).stdout.encode() == content
    assert way.cuts == []


def test_an_empty_file_is_one_too(home: Home) -> None:
    """It has no range, and no bytes."""
    Path("empty.jsonl").write_bytes(b"")
    id = call("files", "put", "empty.jsonl").stdout.strip()
    assert call("files", "get", id, "-o", "out.jsonl").exit_code == 0
    assert Path("out.jsonl").read_bytes() == b""
    assert call("files", "get", id).exit_code == 0
