"""Completion in the shell, as the shell asks for it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from batchyard.cli import completing
from batchyard.cli.main import main
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.cli.conftest import Home


def completed(*words: str) -> list[str]:
    """What is offered for the last of these words."""
    complete = BashComplete(main, {}, "batchyard", "_BATCHYARD_COMPLETE")
    return [one.value for one in complete.get_completions(list(words[:-1]), words[-1])]


def test_verbs_options_and_profiles_are_completed(home: Home) -> None:
    """Those that begin so."""
    assert {"status", "submit", "split"} <= set(completed("s"))
    assert "create" in completed("keys", "c")
    assert completed("results", "--ok") == ["--ok-only"]
    call("config", "set", "prod", "--url", "http://x/v1")
    assert completed("ls", "--to", "pr") == completed("config", "use", "pr") == ["prod"]


def test_ids_are_completed_and_kept_for_a_while(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Batches at the target, asked for once in some seconds; campaigns; `@last`."""
    monkeypatch.setattr(completing, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(completing, "_FRESH_SECONDS", 3_600.0)
    id = home.ended(request_lines(1))
    assert completed("status", "@") == ["@last"]
    assert id in completed("status", "batch_")
    assert (tmp_path / "state" / "batchyard" / "batches.json").exists()
    other = home.ended(request_lines(1))
    assert other not in completed("status", "batch_")
    (tmp_path / "x.campaign").mkdir()
    (tmp_path / "x.campaign" / "campaign.json").write_text("{}")
    assert completed("status", "x") == ["x.campaign"]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert completed("status", "batch_") == []


def test_files_and_campaigns_are_completed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of files at the target; where a file of one's own may stand, those too."""
    monkeypatch.setattr(completing, "_PATIENCE_SECONDS", 60.0)
    Path("in.jsonl").write_bytes(request_lines(1))
    id = call("files", "put", "in.jsonl").stdout.strip()
    assert id in completed("files", "get", "file-")
    Path("x.campaign").mkdir()
    Path("x.campaign/campaign.json").write_text("{}")
    for verb in ("show", "merge", "report", "diff", "clean"):
        assert completed(verb, "x.") == ["x.campaign"]
        assert completed(verb, "@") == ["@last"]
    assert completed("merge", "in") == ["in"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed(shell: str) -> None:
    """One that the shell can read, where it is installed."""
    done = call("completion", shell)
    assert done.exit_code == 0
    assert "_BATCHYARD_COMPLETE" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, text=True, check=False)
        assert checked.returncode == 0


def test_an_unknown_shell_is_wrong_usage() -> None:
    """Exit code 2."""
    assert call("completion", "tcsh").exit_code == 2
