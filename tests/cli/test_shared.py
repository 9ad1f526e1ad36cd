"""Every verb that takes a campaign's folder takes the URL of one."""

import json
import shutil
from pathlib import Path

import pytest

from batchyard.places.objects import Objects, StoreError
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home


@pytest.fixture
def url(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a campaign may go, and a file of requests in the current folder."""
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in.jsonl").write_bytes(request_lines(6))
    return f"file://{tmp_path}/far/one"


def elsewhere(tmp_path: Path) -> None:
    """Be on another machine, which has nothing of the campaign."""
    shutil.rmtree(tmp_path / "cache")


def test_a_campaign_goes_from_verb_to_verb_by_its_url(home: Home, url: str, tmp_path: Path) -> None:
    """Each on a machine of its own: begun here, watched there, read anywhere, cleaned at last."""
    begun = call("submit", "in.jsonl", "-d", url, "--max-requests", 3, "--poll", 0.05)
    assert (begun.exit_code, begun.stdout) == (0, f"{url}\n")
    assert f"batchyard watch {url}" in begun.stderr
    elsewhere(tmp_path)
    assert json.loads(call("status", url, "--json").stdout)["folder"] == url
    watched = call("watch", "@last")
    assert (watched.exit_code, watched.stdout) == (0, f"6 succeeded\n{url}/results.jsonl\n")
    assert call("collect", url).exit_code == call("resume", url).exit_code == 0
    whole = (tmp_path / "far/one/results.jsonl").read_text()
    for words in (("results", url), ("results", "@last")):
        elsewhere(tmp_path)
        assert call(*words).stdout == whole
    elsewhere(tmp_path)
    assert "Nothing went wrong" in call("errors", url).stderr
    assert call("diff", url, url, "--exit-code").exit_code == 0
    assert "c3" in call("show", url, "c3").stdout + call("show", url, "c3").stderr
    elsewhere(tmp_path)
    assert call("report", url).exit_code == 0
    assert (tmp_path / "report.html").stat().st_size > 1_000
    elsewhere(tmp_path)
    assert call("clean", url, "--yes").stdout.count("deleted") == 4


def test_what_failed_is_asked_again_beside_it(home: Home, url: str, tmp_path: Path) -> None:
    """In a folder at the next URL of its name."""
    lines = request_lines(2).splitlines(keepends=True)
    bad = lines[1].replace(b'"m1"', b'"no-such-model"')
    (tmp_path / "in.jsonl").write_bytes(lines[0] + bad)
    call("submit", "in.jsonl", "-d", url, "--rounds", 1, "--poll", 0.05)
    call("watch", url)
    elsewhere(tmp_path)
    assert call("retry", url, "--json").exit_code == 0
    assert (tmp_path / "far/one.retry1.campaign/log").is_dir()


def test_a_url_that_holds_no_campaign_is_said_to(home: Home, url: str) -> None:
    """As a folder is that holds none; and a store that is not there in one line."""
    for verb in ("status", "watch", "results", "errors", "cancel", "resume"):
        done = call(verb, url)
        assert (done.exit_code, done.stdout) == (1, "")
        assert f"{url} holds no campaign" in done.stderr
    unknown = call("status", "ftp://somewhere/one")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (1, 1)
    begun = call("submit", "in.jsonl", "-d", "ftp://somewhere/one")
    assert (begun.exit_code, begun.stderr.count("\n")) == (1, 1)


def test_a_campaign_of_another_machine_is_refused_until_it_is_taken_over(
    home: Home, url: str, tmp_path: Path
) -> None:
    """The message says who has it and what to do; --take-over does it."""
    call("submit", "in.jsonl", "-d", url, "--poll", 0.05)
    log = sorted((tmp_path / "far/one/log").iterdir())
    owner = json.loads(log[-1].read_bytes())["by"]
    (tmp_path / "far/one/owners" / owner["run"]).write_text("{}")
    elsewhere(tmp_path)
    refused = call("resume", url)
    assert refused.exit_code == 1
    assert f"Another process goes on with {url}: {owner['who']}" in refused.stderr
    assert f"batchyard resume --take-over {url}" in refused.stderr
    taken = call("resume", "--take-over", url)
    assert (taken.exit_code, f"Taken over from {owner['who']}" in taken.stderr) == (0, True)


def test_a_table_goes_to_a_url_and_comes_back_anywhere(
    home: Home, url: str, tmp_path: Path
) -> None:
    """`run --to` with --folder: the same again, from another machine, asks nothing again."""
    (tmp_path / "in.csv").write_text("text\nred\nblue\nred\n")
    words = ("run", "in.csv", "--to", home.server.url, "--template", "{text}?", "--model", "m1")
    more = ("--folder", url, "--poll", 0.05)
    shown = call(*words, "--dry-run", *more)
    assert shown.exit_code == 0
    assert not (tmp_path / "far").exists()
    done = call(*words, "-o", "out.csv", *more)
    assert (done.exit_code, done.stdout) == (0, "out.csv\n")
    asked = len(home.openai.batches.list().data)
    elsewhere(tmp_path)
    again = call(*words, "-o", "again.csv", *more)
    assert again.exit_code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert len(home.openai.batches.list().data) == asked
    here = call("run", "in.csv", "--upstream", home.server.url, *words[4:], "--folder", url)
    assert (here.exit_code, "on this machine" in here.stderr) == (2, True)
    other = call(*words, "--instructions", "Be brief.", "-o", "other.csv", *more)
    assert (other.exit_code, f"{url} is the folder of another" in other.stderr) == (1, True)


def test_a_store_out_of_reach_is_told_in_a_line(
    home: Home, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the verb was about to do."""
    call("submit", "in.jsonl", "-d", url, "--poll", 0.05)
    monkeypatch.setattr(Objects, "changed_at", _out_of_reach)
    for verb in ("status", "watch", "cancel", "resume"):
        done = call(verb, url)
        assert (done.exit_code, "Error: nobody is there" in done.stderr) == (1, True)
        assert "Traceback" not in done.stderr


def _out_of_reach(*_: object) -> None:
    raise StoreError("nobody is there")
