"""Verbs that look at a Batch API: ls, status, why, errors, results, retry."""

import json
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run
from typing import Any

import pytest

from tests.acceptance.processes import batch_of, command, ended, request_lines, until
from tests.cli.calling import call
from tests.cli.conftest import Home


def told(*words: object) -> list[dict[str, Any]]:
    """What a verb says in JSON."""
    done = call(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def _mixed(_home: Home) -> str:
    _home.sim.set("faults", "400:0.5")
    id = _home.ended(request_lines(20))
    _home.sim.calm()
    return id


@pytest.fixture
def mixed(home: Home, _mixed: str) -> str:
    """A batch of 20 requests of which some failed for good."""
    return _mixed


def test_status_and_why_know_a_batch_by_its_beginning(mixed: str) -> None:
    """A whole id, the beginning of one, with or without `batch_`."""
    for word in (mixed, mixed[:20], mixed.removeprefix("batch_")[:14]):
        assert told("status", word)[0]["id"] == mixed
    assert call("why", mixed).stdout.startswith(f"{mixed} completed; 20 of 20 done")
    shown = call("status", mixed).stdout
    assert f"{mixed} · completed · 20 requests · " in shown
    assert "\noutput  file-" in shown


def test_a_beginning_must_be_unique(home: Home, mixed: str) -> None:
    """What may be two batches is told with both; what is none, too."""
    other = home.ended(request_lines(1))
    done = call("status", "batch_")
    assert done.exit_code == 1
    assert mixed in done.stderr
    assert other in done.stderr
    done = call("status", "batch_nosuch")
    assert (done.exit_code, "No batch found with id 'batch_nosuch'" in done.stderr) == (1, True)


def test_ls_shows_campaigns_and_batches(home: Home, mixed: str) -> None:
    """Those below this folder, and those at the target; `--active` only what goes on."""
    Path("in.jsonl").write_bytes(request_lines(3))
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    assert told("status", "@last")[0]["requests"] == 3
    assert call("watch", "in.campaign").exit_code == 0
    rows = told("ls")
    assert rows[0]["kind"] == "campaign"
    assert (rows[0]["id"], rows[0]["completed"]) == ("in.campaign", 3)
    assert mixed in [one["id"] for one in rows]
    assert told("ls", "--active") == []
    assert [one["kind"] for one in told("ls", "--here")] == ["campaign"]
    assert "in.campaign" in call("ls", "--here").stdout
    assert call("why", "in.jsonl").exit_code == 0


def test_errors_are_counted_by_code(home: Home, mixed: str, tmp_path: Path) -> None:
    """With samples and with what to do, of a batch and of a file of results."""
    batch = home.openai.batches.retrieve(mixed)
    assert batch.request_counts is not None
    (row,) = told("errors", mixed, "--sample", "2")
    assert row["count"] == batch.request_counts.failed
    assert len(row["samples"]) == 2
    assert batch.error_file_id is not None
    path = tmp_path / "errors.jsonl"
    path.write_bytes(home.openai.files.content(batch.error_file_id).content)
    assert told("errors", path, "--sample", "2") == [row]
    assert f"{row['count']:,}  {row['name']}" in call("errors", mixed).stdout


def test_a_failed_batch_says_why(home: Home) -> None:
    """Its errors stand on the batch, by line."""
    id = home.ended(request_lines(1) + request_lines(1))
    (row,) = told("errors", id)
    assert (row["name"], row["samples"][0]["custom_id"]) == ("duplicate_custom_id", "line 2")
    assert "fix" in row["remedy"]


def test_results_are_written_whole_or_in_part(mixed: str, tmp_path: Path) -> None:
    """All lines; only good ones; one field of each; with the requests, in the input's order."""
    whole = [json.loads(line) for line in call("results", mixed).stdout.splitlines()]
    assert {one["custom_id"] for one in whole} == {f"c{number}" for number in range(20)}
    good = call("results", mixed, "--ok-only", "-o", tmp_path / "good.jsonl")
    assert good.exit_code == 0
    assert 0 < len((tmp_path / "good.jsonl").read_text().splitlines()) < 20
    texts = call("results", mixed, "--ok-only", "--field", "text").stdout
    assert texts.strip()
    rows = told("results", mixed, "--field", "response.status_code")
    assert {one["response.status_code"] for one in rows} == {200, 400}
    joined = told("results", mixed, "--requests")
    assert [one["custom_id"] for one in joined] == [f"c{number}" for number in range(20)]
    assert all(one["request"]["custom_id"] == one["custom_id"] for one in joined)


def test_results_of_a_campaign(home: Home) -> None:
    """In the order of the input, with the request if wanted."""
    Path("in.jsonl").write_bytes(request_lines(4))
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    early = call("results", "in.jsonl")
    assert (early.exit_code, "not ended" in early.stderr) == (7, True)
    assert call("retry", "@last").exit_code == 7
    assert call("watch", "in.campaign").exit_code == 0
    joined = told("results", "@last", "--requests")
    assert [one["line"] for one in joined] == [1, 2, 3, 4]
    assert joined[3]["request"]["custom_id"] == "c3"
    assert call("retry", "@last").exit_code == 1


def test_results_so_far(home: Home) -> None:
    """Of a batch that runs, what our server has; then exit code 7."""
    home.sim.set("faults", "hang:0.5")
    batch = batch_of(home.openai, request_lines(10))
    until(lambda: bool(call("results", batch.id).stdout))
    assert call("results", batch.id).exit_code == 7
    home.openai.batches.cancel(batch.id)
    ended(home.openai, batch)


def test_retry_makes_a_batch_of_what_failed(home: Home, mixed: str) -> None:
    """Our server makes it; `@last` is the new one; again at once is the same one."""
    (made,) = told("retry", mixed)
    assert made["metadata"] == {"batchyard_retry_of": mixed}
    failed = home.openai.batches.retrieve(mixed).request_counts
    assert failed is not None
    assert told("status", "@last")[0]["id"] == made["id"]
    assert told("retry", mixed)[0]["id"] == made["id"]
    until(lambda: told("status", "@last")[0]["status"] == "completed")
    assert told("status", "@last")[0]["request_counts"]["completed"] == failed.failed
    assert call("retry", made["id"]).exit_code == 1


def test_a_campaign_is_retried_beside_itself(home: Home) -> None:
    """What failed becomes a campaign of its own, linked by its metadata."""
    Path("in.jsonl").write_bytes(request_lines(6))
    home.sim.set("faults", "400:1")
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    assert call("watch", "in.campaign").exit_code == 5
    home.sim.calm()
    (row,) = told("errors", "in.campaign")
    assert row["count"] == 6
    made = call("retry", "in.campaign")
    assert (made.exit_code, made.stdout) == (0, "in.retry1.campaign\n")
    assert call("watch", "in.retry1.campaign").exit_code == 0
    manifest = json.loads(Path("in.retry1.campaign/campaign.json").read_bytes())
    assert "batchyard_retry_of" in manifest["settings"]["metadata"]


def test_faults_of_the_way_have_exit_codes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is refused is 4, and says where it came from; nobody there is 1."""
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key")
    done = call("ls")
    assert done.exit_code == 4
    assert "OPENAI_API_KEY" in done.stderr
    assert "wrong-key" not in done.stderr
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "there is none" in call("ls").stderr
    done = call("ls", "--to", "http://127.0.0.1:9/v1")
    assert (done.exit_code, "127.0.0.1:9" in done.stderr) == (1, True)
    assert call("ls", "--to", "nowhere").exit_code == 2


def test_without_a_target_nobody_is_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set up nothing sees the campaigns here, and how to set one up."""
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    done = call("ls")
    assert (done.exit_code, done.stdout, "batchyard config" in done.stderr) == (0, "", True)


def test_nothing_is_last_at_first(home: Home) -> None:
    """`@last` before anything was submitted says so."""
    done = call("status", "@last")
    assert (done.exit_code, "no @last" in done.stderr) == (1, True)


def test_a_batch_is_watched_and_cancelled(home: Home) -> None:
    """Without a campaign: `watch` waits for its end, `cancel` asks for it."""
    home.sim.set("faults", "hang:1")
    batch = batch_of(home.openai, request_lines(2))
    assert call("watch", batch.id, "--timeout", "0.01").exit_code == 7
    assert call("cancel", batch.id).exit_code in (0, 7)
    done = call("watch", batch.id[:20], "--json")
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (5, "cancelled")
    home.sim.calm()
    done = call("watch", home.ended(request_lines(1)))
    assert (done.exit_code, "completed: 1 succeeded, 0 failed, of 1" in done.stdout) == (0, True)


def test_a_campaign_that_is_not_there(home: Home) -> None:
    """A path asks no server; what is a batch is no campaign."""
    for words in (("watch", "no.campaign"), ("status", "no/where"), ("cancel", "no.campaign")):
        done = call(*words)
        assert (done.exit_code, "There is no campaign" in done.stderr) == (1, True)
    for verb in ("collect", "resume"):
        assert call(verb, "batch_x").exit_code == 2
    Path("empty").mkdir()
    for verb in ("watch", "status", "errors", "results", "retry", "why", "resume"):
        done = call(verb, "empty")
        assert (done.exit_code, "empty holds no campaign" in done.stderr) == (1, True)


def test_strict_takes_no_failures(home: Home, mixed: str) -> None:
    """With `--strict` a request without an answer is exit code 6; a wait that is over is 7."""
    assert (call("watch", mixed).exit_code, call("watch", mixed, "--strict").exit_code) == (0, 6)
    Path("in.jsonl").write_bytes(request_lines(20))
    home.sim.set("faults", "400:0.5")
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    assert call("watch", "in.campaign", "--timeout", "0").exit_code == 7
    assert call("watch", "in.campaign", "--strict").exit_code == 6
    assert call("collect", "in.campaign").exit_code == 0
    assert call("collect", "in.campaign", "--strict").exit_code == 6


def test_a_closed_pipe_is_no_traceback(mixed: str) -> None:
    """Piped into `head`, no verb says anything of it."""
    for words in ("results @ --requests", "explain"):
        script = f"{sys.executable} -m batchyard {words.replace('@', mixed)} | head -c 1"
        done = run(script, shell=True, capture_output=True, text=True, check=False)
        assert (len(done.stdout), done.stderr) == (1, ""), words


def test_terminals_obey_nobody_else(home: Home, tmp_path: Path) -> None:
    """What others have written is shown without what a terminal would obey."""
    fault = {"response": None, "error": {"code": "x\x1b[2J", "message": "a\x1b]0;b\x07\nc"}}
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps({"custom_id": "\x1b[1m", **fault}) + "\n")
    shown = call("errors", path).stdout
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown


def test_a_stop_cancels_nothing(home: Home) -> None:
    """Ctrl-C while a batch is watched is exit code 130; the batch goes on."""
    home.sim.set("faults", "hang:1")
    batch = batch_of(home.openai, request_lines(2))
    watching = Popen([*command("watch", batch.id)], stderr=PIPE, text=True)
    assert watching.stderr is not None
    assert batch.id in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    said = watching.communicate()[1]
    assert (watching.returncode, "goes on" in said, "Traceback" in said) == (130, True, False)
    assert told("errors", batch.id) == []
    assert told("status", batch.id)[0]["status"] in ("validating", "in_progress")
    home.openai.batches.cancel(batch.id)
    ended(home.openai, batch)
