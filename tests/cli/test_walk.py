"""Every verb that has results, called for real: results on stdout, as JSON, and talk on stderr."""

import io
import json
from pathlib import Path

import pytest

from batchyard.cli.progress import Progress
from batchyard.flow.shards import Tally
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home
from tests.cli.test_tree import ENDS, VERBS, WITHOUT_RESULTS, titled
from tests.client.lines import answer_line, fault_line

# Words in capitals stand for what is there.
CALLS = (
    "make rows.csv --model m1 --template {text} -o made.jsonl",
    "check in.jsonl",
    "fix twice.jsonl -o fixed.jsonl",
    "edit in.jsonl --set body.temperature=0 -o edited.jsonl",
    "stats in.jsonl",
    "show in.campaign c0",
    "sample in.jsonl -n 1 -o few.jsonl",
    "merge in.campaign --input in.jsonl -o merged.jsonl",
    "diff in.campaign other.jsonl",
    "estimate in.jsonl",
    "split in.jsonl",
    "run rows.csv --model m1 --template {text} --to URL --poll 0.05",
    "submit in.jsonl",
    "watch in.campaign",
    "watch BATCH",
    "status in.campaign",
    "status BATCH",
    "collect in.campaign",
    "report in.campaign",
    "resume @last",
    "clean in.campaign --dry-run",
    "cancel in.campaign",
    "ls",
    "results in.campaign",
    "results BATCH",
    "errors bad.jsonl",
    "explain rate_limit_exceeded",
    "retry BATCH",
    "files ls",
    "files put in.jsonl",
    "files get FILE -o got.jsonl",
    "files rm FILE",
    "doctor",
    "config set local --url URL --key-env OPENAI_API_KEY",
    "config use local",
    "config show",
    "config path",
    "config rm local",
    "keys create k --data DATA",
    "keys list --data DATA",
    "keys revoke KEY --data DATA",
    "projects create p --data DATA",
    "projects list --data DATA",
    "projects set PROJECT --profile strict --data DATA",
    "projects archive PROJECT --data DATA",
    "webhooks list --data DATA",
    "webhooks deliveries --data DATA",
    "webhooks replay --given-up --data DATA",
    "quota --data DATA",
    "quota set m1 1000000 --data DATA",
    "usage --data DATA",
    "why BATCH",
)
# Of these there may be none.
EMPTY = ("webhooks list", "webhooks deliveries", "usage", "quota", "keys list")


@pytest.fixture
def there(home: Home, tmp_path: Path) -> dict[str, str]:
    """A table, a file, a campaign that has ended, a batch of which some failed, and a store."""
    Path("rows.csv").write_text("text\nOne\nTwo\n")
    Path("in.jsonl").write_bytes(request_lines(3))
    Path("twice.jsonl").write_bytes(request_lines(1) * 2)
    assert call("submit", "in.jsonl", "--poll", "0.05").exit_code == 0
    assert call("watch", "in.campaign").exit_code == 0
    Path("other.jsonl").write_text(answer_line("c0", "other"))
    Path("bad.jsonl").write_text(fault_line("c0", "rate_limit_exceeded"))
    home.sim.set("faults", "400:0.5")
    batch = home.ended(request_lines(20))
    home.sim.calm()
    found = {"BATCH": batch, "URL": home.server.url, "DATA": str(tmp_path / "data")}
    found["FILE"] = call("files", "put", "in.jsonl").stdout.strip()
    for name, words in (("KEY", "keys create one"), ("PROJECT", "projects create one")):
        told = call(*words.split(), "--data", found["DATA"], "--json").stdout
        found[name] = json.loads(told)["id"]
    return found


def test_results_are_json_on_stdout(there: dict[str, str]) -> None:
    """With `--json` each line of stdout is an object; what is said beside that is on stderr."""
    for text in CALLS:
        words = [there.get(word, word) for word in text.split()]
        done = call(*words, "--json")
        assert done.exit_code == 0, (text, done.stderr)
        told = done.stdout.splitlines()
        assert told or text.startswith(EMPTY), text
        for line in told:
            assert isinstance(json.loads(line), dict), (text, line)
        assert not [line for line in done.stderr.splitlines() if line.startswith("{")], text


def test_every_verb_is_called() -> None:
    """None is forgotten; `gc` has the folder until its process ends, and is tested as one."""
    called = {words for words in ENDS if any(text.startswith(titled(words)) for text in CALLS)}
    assert called == set(ENDS) - WITHOUT_RESULTS - {("gc",)}


def test_nothing_is_drawn_over_if_that_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--plain`, and where the terminal cannot; else a terminal has one moving line."""
    monkeypatch.setenv("TERM", "xterm")
    assert "\r" in drawn()
    with VERBS["stats",].make_context("stats", [__file__, "--plain"]):
        assert "\r" not in drawn()
    monkeypatch.setenv("TERM", "dumb")
    assert "\r" not in drawn()


def drawn() -> str:
    """What progress shows on a terminal."""
    out = Terminal()
    Progress(2, 0, out).show(Tally(completed=2))
    return out.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """It says so."""
        return True
