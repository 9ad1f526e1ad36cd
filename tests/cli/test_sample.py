"""`batchyard sample` as it is called."""

from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import line


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 200 requests, with a blank line."""
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(["", *(line(f"r-{n}").strip() for n in range(200))]))
    return path


def test_lines_are_chosen_by_seed(source: Path) -> None:
    """The same seed gives the same lines, byte for byte in their order; another others."""
    first = call("sample", source, "-n", 20)
    again, other = call("sample", source, "-n", 20), call("sample", source, "-n", 20, "--seed", 1)
    lines = source.read_text().split("\n")
    places = [lines.index(text) for text in first.stdout.splitlines()]
    assert (first.exit_code, len(places), places) == (0, 20, sorted(set(places)))
    assert (first.stdout == again.stdout, first.stdout == other.stdout) == (True, False)


def test_every_line_is_as_likely(source: Path) -> None:
    """Over many seeds, no line is left out and none is favoured."""
    seen = [
        text
        for seed in range(60)
        for text in call("sample", source, "-n", 50, "--seed", seed).stdout.splitlines()
    ]
    often = [seen.count(text) for text in set(seen)]
    assert (len(often), max(often) < 35) == (200, True)


def test_a_short_file_is_given_whole(source: Path, tmp_path: Path) -> None:
    """More lines than there are: all of them, without what is blank; -o writes a file."""
    output = tmp_path / "out.jsonl"
    assert call("sample", source, "-n", 500, "-o", output).stdout == ""
    assert output.read_text() == source.read_text()[1:] + "\n"
    again = call("sample", source, "-o", output)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)


def test_a_table_keeps_its_header(tmp_path: Path) -> None:
    """Of a CSV the first record stays, and a line break in quotes ends no record."""
    source = tmp_path / "in.csv"
    source.write_text('id,text\r\n1,"a\nb"\r\n2,"c ""d""\n\ne"\r\n')
    assert call("sample", source, "-n", 5).stdout_bytes == source.read_bytes()
    chosen = call("sample", source, "-n", 1).stdout_bytes
    assert chosen.startswith(b"id,text\r\n")
    assert chosen.removeprefix(b"id,text\r\n") in source.read_bytes()
    assert chosen.endswith(b'"\r\n')
