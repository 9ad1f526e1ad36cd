"""`batchyard edit` as it is called."""

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import line


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two requests, one of which streams."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a", stream=True, temperature=0) + line("b", temperature=0))
    return path


def test_values_are_set_and_removed(source: Path, tmp_path: Path) -> None:
    """The lines go to -o or to stdout, what was done to stderr."""
    output = tmp_path / "out.jsonl"
    words = ("edit", source, "--set", "body.temperature=0", "--unset", "body.stream")
    done = call(*words, "-o", output)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"{source}: 2 requests, changed: 1" in done.stderr
    bodies = [json.loads(text)["body"] for text in output.read_text().splitlines()]
    assert ["stream" in body for body in bodies] == [False, False]
    assert call(*words).stdout == output.read_text()


def test_nonsense_is_wrong_usage(source: Path) -> None:
    """Exit code 2, and why."""
    for words, why in (
        (["--set", "temperature=0"], "did you mean body.temperature?"),
        (["--set", "body.temperature=7"], "temperature must be"),
        (["--set", "body.model"], "Write --set body.model=VALUE"),
        ([], "Say what to --set"),
    ):
        done = call("edit", source, *words)
        assert (done.exit_code, why in done.stderr) == (2, True)


def test_a_likely_typo_is_told(source: Path) -> None:
    """It is set all the same."""
    done = call("edit", source, "--set", "body.temprature=0")
    assert (done.exit_code, done.stdout.count("temprature")) == (0, 2)
    assert "did you mean 'temperature'?" in done.stderr


def test_a_line_in_the_way_stops_all_of_it(source: Path, tmp_path: Path) -> None:
    """Exit code 3, the place of the line, and no file."""
    source.write_text(line("a") + "oops\n")
    done = call("edit", source, "--set", "body.seed=1", "-o", tmp_path / "out.jsonl")
    assert (done.exit_code, f"{source}:2: error: " in done.stderr) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
