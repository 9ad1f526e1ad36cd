"""`batchyard check` as it is called."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import line


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A file with an error and a warning."""
    path = tmp_path / "bad.jsonl"
    path.write_text(line("a", model="gpt-5", max_tokens=3) + "oops\n")
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A sound file."""
    path = tmp_path / "good.jsonl"
    path.write_text(line("a") + line("b"))
    return path


def test_a_sound_file_passes(good: Path) -> None:
    """Exit code 0, nothing on stdout, a summary on stderr."""
    done = call("check", good)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "0 errors for openai; 2 requests" in done.stderr


def test_findings_stand_on_stdout(bad: Path) -> None:
    """Exit code 3; each finding has file, line, code, quote and fix."""
    done = call("check", bad)
    assert done.exit_code == 3
    assert f"{bad}:2: error invalid_json_line: " in done.stdout
    assert "\n    oops\n    fix: " in done.stdout
    assert f"{bad}:1: warning max_tokens_unsupported: " in done.stdout
    assert "1 error and 1 warning for openai" in done.stderr


def test_json_is_one_object_per_file(bad: Path, good: Path) -> None:
    """`--json` writes one line for each file, and nothing else to stdout."""
    done = call("check", bad, good, "--json")
    shown = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.exit_code == 3
    assert [one["sound"] for one in shown] == [False, True]
    assert shown[0]["report"]["findings"][0]["line"] == 2


def test_github_reads_annotations(bad: Path) -> None:
    """`--format github` writes workflow commands."""
    lines = call("check", bad, "--format", "github").stdout.splitlines()
    assert lines[0].startswith(f"::error file={bad},line=2,title=invalid_json_line::This line is")
    assert lines[1].startswith(f"::warning file={bad},line=1,title=max_tokens_unsupported::")
    assert "%0A" in lines[0]


def test_strict_takes_no_warnings(tmp_path: Path) -> None:
    """With `--strict` a warning means exit code 3."""
    path = tmp_path / "warned.jsonl"
    path.write_text(line("a") + "\n\n" + line("b"))
    assert call("check", path).exit_code == 0
    assert call("check", path, "--strict").exit_code == 3


def test_a_model_that_is_not_served_is_told(good: Path) -> None:
    """`--model` says what the target serves."""
    done = call("check", good, "--model", "qwen3-8b")
    assert done.exit_code == 3
    assert "model_not_found" in done.stdout


def test_a_file_is_repaired_where_it_stands(tmp_path: Path) -> None:
    """`--fix` repairs first, keeps what the file was, tells the changes and what is left."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a") + "\n" + line("a") + "oops\n")
    before = path.read_bytes()
    done = call("check", path, "--fix", "--json")
    shown = json.loads(done.stdout)
    assert (done.exit_code, len(shown["report"]["findings"])) == (3, 1)
    assert shown["fixed"] == {"blank_lines": 1, "duplicate_custom_id": 1}
    assert f"{path}:3: duplicate_custom_id: a: now a-2" in done.stderr
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "in.jsonl": (line("a") + line("a-2") + "oops\n").encode(),
        "in.jsonl.orig": before,
    }


def test_what_a_file_was_is_never_lost(tmp_path: Path, good: Path) -> None:
    """`--fix` stops at an .orig that is there, and leaves none where nothing changes."""
    kept = tmp_path / "good.jsonl.orig"
    assert call("check", good, "--fix").exit_code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["good.jsonl"]
    kept.write_text("precious")
    done = call("check", good, "--fix")
    assert (done.exit_code, kept.read_text()) == (1, "precious")


def test_wrong_usage_has_its_own_code(good: Path) -> None:
    """An unknown target is exit code 2."""
    assert call("check", good, "--for", "nowhere").exit_code == 2


def test_a_closed_pipe_is_no_traceback(bad: Path) -> None:
    """Piped into `head`, the command says nothing of it."""
    bad.write_text("oops\n" * 9_000)
    words = f"{sys.executable} -m batchyard check {bad} | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1
