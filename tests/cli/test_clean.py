"""`batchyard clean` as it is called."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchyard.cli.main import main
from batchyard.places.remembered import Remembered
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home


@pytest.fixture
def folder(home: Home, tmp_path: Path) -> Path:
    """A campaign of two batches that has all of its results."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(request_lines(6))
    call("submit", source, "--max-requests", 3, "--poll", 0.05, "--settle", 0.2)
    assert call("watch", tmp_path / "in.campaign").exit_code == 0
    return tmp_path / "in.campaign"


def here(home: Home) -> set[str]:
    """The ids of all files at the server."""
    return {one.id for one in home.openai.files.list()}


def test_what_a_campaign_has_left_is_deleted(home: Home, folder: Path) -> None:
    """Its inputs and outputs, no other's, and not unasked; its folder stays."""
    other = home.openai.files.create(file=("other.jsonl", request_lines(1)), purpose="batch").id
    whole = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    planned = call("clean", folder, "--dry-run", "--json").stdout.splitlines()
    ids = {json.loads(text)["file_id"] for text in planned}
    assert (len(ids), ids <= here(home)) == (4, True)
    asked = CliRunner().invoke(main, ["clean", str(folder)], input="n\n")
    assert (asked.exit_code, ids <= here(home)) == (1, True)
    done = call("clean", folder, "--yes")
    assert (done.exit_code, done.stdout.count("deleted")) == (0, 4)
    assert here(home) & (ids | {other}) == {other}
    assert {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} == whole
    again = call("clean", "@last", "--yes", "--json").stdout.splitlines()
    assert {json.loads(text)["became"] for text in again} == {"gone"}


def test_what_is_still_needed_is_kept(home: Home, folder: Path) -> None:
    """Not before a campaign is complete, and not what is not in its folder."""
    raw = next((folder / "raw").glob("*.output.jsonl"))
    raw.unlink()
    assert "is kept" in call("clean", folder, "--yes").stderr
    (folder / "results.jsonl").unlink()
    done = call("clean", folder, "--yes")
    assert (done.exit_code, "is not complete" in done.stderr) == (1, True)


def test_the_cache_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before, not unasked, also where it is damaged; a campaign and the cache are two."""
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path))
    Remembered(tmp_path, time.time).keep({b"a": b"1"})
    assert json.loads(call("clean", "--cache", "--dry-run", "--json").stdout)["answers"] == 1
    assert CliRunner().invoke(main, ["clean", "--cache"], input="n\n").exit_code == 1
    assert (tmp_path / "answers.sqlite").exists()
    assert "1 answers" in call("clean", "--cache", "--yes").stdout
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "answers.sqlite").write_bytes(b"no database at all" * 100)
    assert call("clean", "--cache", "--yes").exit_code == 0
    assert list(tmp_path.iterdir()) == []
    assert (call("clean").exit_code, call("clean", "x", "--cache").exit_code) == (2, 2)
