"""`batchyard fix` as it is called."""

import json
from pathlib import Path

from tests.cli.calling import call
from tests.client.lines import line


def test_a_file_is_repaired_and_all_of_it_is_told(tmp_path: Path) -> None:
    """A new file is written, the old one is kept, every change is told on stdout."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(line("a", model="gpt-5", max_tokens=9) + "\n" + line("a", model="gpt-5"))
    before = source.read_bytes()
    done = call("fix", source, "-o", output)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{source}: blank_lines: 1 blank lines: removed",
        f"{source}:1: max_tokens_unsupported: max_tokens: now max_completion_tokens",
        f"{source}:3: duplicate_custom_id: a: now a-2",
    ]
    assert "changes: 3, errors left: 0" in done.stderr
    assert (source.read_bytes(), call("check", output).exit_code) == (before, 0)


def test_what_is_left_is_told(tmp_path: Path) -> None:
    """Exit code 3 where the target would still refuse the file; the rest is repaired."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(line("a") + "oops\n" + line("a"))
    done = call("fix", source, "-o", output)
    assert done.exit_code == 3
    assert f"{output}:2: error invalid_json_line" in done.stderr
    assert "changes: 1, errors left: 1" in done.stderr


def test_programs_get_every_change(tmp_path: Path) -> None:
    """People are told the first 20 of a kind, programs all as JSON lines."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") * 50)
    told = call("fix", source, "-o", tmp_path / "one.jsonl").stdout.splitlines()
    assert len(told) == 21
    assert told[-1].endswith("duplicate_custom_id: 29 more; `batchyard fix --json` tells all")
    shown = call("fix", source, "-o", tmp_path / "two.jsonl", "--json").stdout.splitlines()
    assert [json.loads(text)["line"] for text in shown] == list(range(2, 51))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """An output that exists is kept."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a"))
    assert call("fix", source, "-o", source).exit_code == 1
    assert source.read_text() == line("a")
