"""`batchyard split` as it is called."""

import json
from pathlib import Path

from tests.cli.calling import call
from tests.client.lines import line


def test_files_and_waves_are_told(tmp_path: Path) -> None:
    """Each file has a line on stdout, in the order of waves, and holds what it is said to hold."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(line(f"{n}", model=f"m{n % 2}") for n in range(10)))
    done = call("split", source, "-o", tmp_path / "out", "--max-requests", 2)
    plan = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert "10 requests, files: 6, waves: 1" in done.stderr
    assert [one["requests"] for one in plan] == [2, 2, 2, 2, 1, 1]
    for one in plan:
        lines = Path(one["file"]).read_text().splitlines()
        assert {json.loads(text)["body"]["model"] for text in lines} == {one["model"]}
        assert len(lines) == one["requests"]
    assert sum(one["bytes"] for one in plan) == source.stat().st_size


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """`--dry-run` tells the same plan and leaves no file."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") + line("b"))
    words = ("split", source, "-o", tmp_path / "out", "--max-tokens", "20")
    dry = call(*words, "--dry-run")
    assert not (tmp_path / "out").exists()
    assert dry.stdout == call(*words).stdout
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_the_queue_makes_waves(tmp_path: Path) -> None:
    """With `--max-enqueued-tokens` no file and no wave is larger than the queue."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(line(f"{n}") for n in range(6)))
    done = call("split", source, "--max-enqueued-tokens", "45", "--max-requests", "1")
    plan = [json.loads(text) for text in done.stdout.splitlines()]
    assert [one["wave"] for one in plan] == [1, 1, 2, 2, 3, 3]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A file in the way stops all of it before the first byte."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") + line("b"))
    (tmp_path / "in.002.jsonl").write_text("precious")
    done = call("split", source, "--max-requests", "1")
    assert done.exit_code == 1
    assert "exists already; nothing was written" in done.stderr
    assert not (tmp_path / "in.001.jsonl").exists()


def test_a_line_that_fits_nowhere_is_told(tmp_path: Path) -> None:
    """Exit code 3, and no file."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") + line("b", user="u" * 1_000))
    done = call("split", source, "--max-bytes", "500")
    assert done.exit_code == 3
    assert "line 2 has" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
