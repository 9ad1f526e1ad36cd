"""`batchyard merge` as it is called."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calling import call
from tests.client.lines import answer_line, fault_line, line


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Output and error file of a first batch, and the output of a second for what failed."""
    texts = [
        answer_line("c", "1") + answer_line("a", "1") + answer_line("a", "again"),
        fault_line("b", "rate_limit_exceeded", 429) + fault_line("d", "batch_expired"),
        answer_line("b", "2") + fault_line("a", "server_error", 500),
    ]
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def results(text: str) -> list[dict[str, Any]]:
    """Lines of JSON."""
    return [json.loads(one) for one in text.splitlines()]


def test_each_request_has_one_line(files: list[Path], tmp_path: Path) -> None:
    """In the order of the input, with all attempts; a success stands, a gap is missing."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") + line("b") + line("d") + line("e"))
    done = call("merge", *files, "--input", source)
    found = results(done.stdout)
    assert done.exit_code == 0
    assert [(one["line"], one["custom_id"], one["outcome"]) for one in found] == [
        (1, "a", "succeeded"),
        (2, "b", "succeeded"),
        (3, "d", "expired"),
        (4, "e", "missing"),
    ]
    texts = [one["response"]["body"]["choices"][0]["message"]["content"] for one in found[:2]]
    assert texts == ["1", "2"]
    assert [each["outcome"] for each in found[0]["attempts"]] == ["errored", "succeeded"]
    assert [each["code"] for each in found[1]["attempts"]] == ["rate_limit_exceeded", ""]
    assert "4 requests; succeeded: 2, expired: 1, missing: 1, duplicates: 1, strangers: 1" in (
        done.stderr
    )


def test_without_the_input_all_that_is_named_counts(files: list[Path], tmp_path: Path) -> None:
    """In the order in which files name it; -o and --json tell the counts."""
    output = tmp_path / "all.jsonl"
    done = call("merge", *files, "-o", output, "--json", "--strict")
    assert done.exit_code == 6
    assert [one["custom_id"] for one in results(output.read_text())] == ["c", "a", "b", "d"]
    told = json.loads(done.stdout)
    assert (told["requests"], told["succeeded"], told["expired"]) == (4, 3, 1)


def test_what_was_merged_can_be_merged(files: list[Path], tmp_path: Path) -> None:
    """Results of campaigns are results; what they made of a line stands."""
    source, merged = tmp_path / "in.jsonl", tmp_path / "merged.jsonl"
    source.write_text(line("b") + line("e"))
    call("merge", *files[:2], "--input", source, "-o", merged)
    found = results(call("merge", merged, files[2], "--input", source).stdout)
    assert [one["outcome"] for one in found] == ["succeeded", "missing"]


def test_an_input_must_be_sound(files: list[Path], tmp_path: Path) -> None:
    """Exit code 3 where an id stands twice or is not there."""
    source = tmp_path / "in.jsonl"
    for text in (line("a") + line("a"), "oops\n", "[]\n"):
        source.write_text(text)
        assert call("merge", *files, "--input", source).exit_code == 3
