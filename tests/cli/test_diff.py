"""`batchyard diff` as it is called."""

import json
from pathlib import Path

import pytest

from batchyard.cli.aims import state_here
from batchyard.client.apis.recent import Recent, remember
from tests.cli.calling import call
from tests.client.lines import answer_line, fault_line


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of the same requests."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    before.write_text(
        answer_line("same", '{"label": "up", "why": "a"}')
        + answer_line("flip", '{"label": "up", "why": "b"}')
        + answer_line("gone", "x")
        + answer_line("worse", "y")
        + fault_line("fault", "rate_limit_exceeded", 429)
    )
    after.write_text(
        fault_line("fault", "rate_limit_exceeded", 429)
        + fault_line("worse", "server_error", 500)
        + answer_line("flip", '{"why":"b","label":"down"}')
        + answer_line("new", "z")
        + answer_line("same", '{"label":"up","why":"c"}')
    )
    return before, after


def test_changes_are_told(files: tuple[Path, Path]) -> None:
    """By custom_id, whatever the order of the lines; of objects only what differs."""
    done = call("diff", *files)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "worse: y → (server_error)",
        "flip: label: up → down",
        "new: only after: z",
        "same: why: a → c",
        "gone: only before: x",
    ]
    assert "same: 1, changed: 2, other outcome: 1, only before: 1, only after: 1" in done.stderr


def test_a_field_alone_can_count(files: tuple[Path, Path]) -> None:
    """With `--field`, only that of each answer is compared."""
    done = call("diff", *files, "--field", "label", "--json")
    shown = {one["custom_id"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert set(shown) == {"worse", "flip", "new", "gone"}
    assert (shown["flip"]["before"], shown["flip"]["after"]) == ("up", "down")
    assert shown["flip"]["change"] == "answer"


def test_pairs_are_counted(files: tuple[Path, Path]) -> None:
    """`--count` says how often which answer became which, also where they are the same."""
    done = call("diff", *files, "--field", "label", "--count")
    assert "       1  up → down\n" in done.stdout
    assert "       1  up → up  (same)\n" in done.stdout
    shown = call("diff", *files, "--field", "label", "--count", "--json").stdout.splitlines()
    assert {"before": "up", "after": "down", "requests": 1} in map(json.loads, shown)


def test_scripts_can_ask(files: tuple[Path, Path]) -> None:
    """`--exit-code` is 1 where anything changed, 0 where nothing did."""
    assert call("diff", *files, "--exit-code").exit_code == 1
    assert call("diff", files[0], files[0], "--exit-code").exit_code == 0


def test_a_success_counts_more_than_a_later_fault(tmp_path: Path) -> None:
    """Of a custom_id that stands twice, as of output and error file in one."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    before.write_text(fault_line("a", "server_error", 500) + answer_line("a", "x"))
    after.write_text(answer_line("a", "x") + fault_line("a", "server_error", 500))
    assert "same: 1, changed: 0" in call("diff", before, after).stderr


def test_campaigns_are_named_by_their_folders(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A folder stands for its results, @last for the folder of the last; without them, an error."""
    folder = tmp_path / "run.campaign"
    folder.mkdir()
    (folder / "campaign.json").write_text("{}")
    done = call("diff", folder, files[0])
    assert (done.exit_code, "has no results yet" in done.stderr) == (1, True)
    (folder / "results.jsonl").write_bytes(files[0].read_bytes())
    assert call("diff", folder, files[0], "--exit-code").exit_code == 0
    remember(state_here(), Recent(folder=str(folder)))
    assert call("diff", "@last", files[0], "--exit-code").exit_code == 0
    assert call("diff", tmp_path / "nothing", files[0]).exit_code == 1


def test_vectors_are_compared_without_what_passes(tmp_path: Path) -> None:
    """Of answers without a text, ids, times and usage do not count."""
    lines = []
    for id, vector in (("1", [0.5]), ("2", [0.5]), ("3", [0.25])):
        body = {"id": id, "data": [{"embedding": vector}], "usage": {"total_tokens": int(id)}}
        response = {"status_code": 200, "body": body}
        lines.append(json.dumps({"custom_id": "a", "response": response, "error": None}))
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path, text in zip(paths, lines, strict=True):
        path.write_text(text)
    assert call("diff", paths[0], paths[1], "--exit-code").exit_code == 0
    assert call("diff", paths[1], paths[2], "--exit-code").exit_code == 1
