"""Files of others command no terminal."""

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import answer_line, fault_line, line

BELL = "\x1b]0;x\x07"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "in.jsonl", "--model", "m"),
        ("fix", "in.jsonl", "-o", "fixed.jsonl"),
        ("stats", "in.jsonl"),
        ("stats", "out.jsonl"),
        ("estimate", "in.jsonl"),
        ("show", "in.jsonl", "a"),
        ("show", "in.jsonl", "nothing"),
        ("diff", "out.jsonl", "other.jsonl"),
        ("diff", "out.jsonl", "other.jsonl", "--count"),
        ("merge", "out.jsonl", "--input", "in.jsonl"),
        ("make", "rows.jsonl", "--model", "m", "--template", "{x}"),
        ("edit", "rows.jsonl", "--set", "body.a=1"),
    ],
    ids=" ".join,
)
def test_nothing_that_a_terminal_would_obey_is_shown(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, models, messages and answers are shown without control characters."""
    monkeypatch.chdir(tmp_path)
    twice = line(f"i{BELL}", model=f"m{BELL}") * 2
    wrong = json.dumps({**json.loads(line("a")), "method": f"GET{BELL}"}) + "\n"
    Path("in.jsonl").write_text(twice + wrong)
    Path("out.jsonl").write_text(answer_line(f"i{BELL}", f"yes{BELL}") + answer_line("a", "b"))
    Path("other.jsonl").write_text(fault_line(f"i{BELL}", f"c{BELL}"))
    Path("rows.jsonl").write_text(json.dumps({f"a{BELL}": "b"}) + "\n")
    done = call(*words)
    assert not {"\x1b", "\x07"} & set(done.output + done.stderr)
