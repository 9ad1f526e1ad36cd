"""What the verbs do with files, from Python."""

from pathlib import Path

import pytest

import batchyard
from batchyard.client.files import InputIdsError
from tests.client.lines import answer_line, fault_line, line


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with an id that stands twice."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a") + line("a"))
    return path


def test_a_file_is_checked_repaired_and_counted(source: Path, tmp_path: Path) -> None:
    """The functions take paths and the names of targets, and give values."""
    output = tmp_path / "out.jsonl"
    assert [one.code for one in batchyard.check(source).errors] == ["duplicate_custom_id"]
    assert [one.after for one in batchyard.fix(source, output)] == ["a-2"]
    assert not batchyard.check(str(output), "groq").errors
    assert batchyard.check(output, models=["x"]).errors[0].code == "model_not_found"
    found = batchyard.stats(output)
    assert (found.models, found.repeated_custom_ids) == ({"gpt-4o-mini": 2}, 0)


def test_results_are_merged_and_compared(source: Path, tmp_path: Path) -> None:
    """One line for each request; requests that cannot be told apart are refused."""
    first, second, output = (tmp_path / name for name in ("1.jsonl", "2.jsonl", "out.jsonl"))
    first.write_text(answer_line("a", "x") + fault_line("b", "server_error", 500))
    second.write_text(answer_line("b", "y"))
    merged = batchyard.merge([first, second], output)
    assert (merged.requests, merged.outcomes["succeeded"]) == (2, 2)
    changes = {one.custom_id: one.change for one in batchyard.diff(first, output)}
    assert changes == {"a": "same", "b": "outcome"}
    with pytest.raises(InputIdsError, match="line 2: the custom_id 'a' stands twice"):
        batchyard.merge([first], tmp_path / "no.jsonl", input=source)
    assert not list(tmp_path.glob("no.jsonl*"))


def test_nothing_is_written_over(source: Path) -> None:
    """Nor is a target guessed."""
    with pytest.raises(FileExistsError, match="exists already"):
        batchyard.fix(source, source)
    with pytest.raises(ValueError, match="There is no target 'nowhere'; there are openai"):
        batchyard.check(source, "nowhere")
