"""`batchyard show` as it is called."""

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import answer_line, fault_line, line


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A few requests, one with much in it."""
    content = [
        {"type": "text", "text": "two\nlines\x1b[31m"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text(
        line("r-1")
        + line("r-17", messages=[{"role": "user", "content": content}], seed=1, stop=[], top_p=0.50)
        + line("r-17é", input=[list(range(60))])
    )
    return path


def test_a_request_is_shown_as_people_read(source: Path) -> None:
    """Texts with their line breaks, pictures in short, nothing that commands a terminal."""
    done = call("show", source, "r-17")
    assert done.exit_code == 0
    assert done.stderr == f"{source}:2\n"
    assert done.stdout.splitlines() == [
        "custom_id: r-17",
        "method: POST",
        "url: /v1/chat/completions",
        "body:",
        "  model: gpt-4o-mini",
        "  messages:",
        "    - role: user",
        "      content:",
        "        - type: text",
        "          text: |",
        "            two",
        "            lines\ufffd[31m",
        "        - type: image_url",
        "          image_url:",
        "            url: data:image/png;base64,AAAAAAAAAAAAAAAAAA… (422 characters)",
        "  seed: 1",
        "  stop: []",
        "  top_p: 0.5",
    ]


def test_programs_get_the_line_as_it_stands(source: Path) -> None:
    """`--json` changes no byte of it."""
    assert (
        call("show", source, "r-17", "--json").stdout == source.read_text().splitlines()[1] + "\n"
    )


def test_long_lists_of_numbers_are_cut(source: Path) -> None:
    """Nobody reads a vector; however the id is escaped, it is found."""
    shown = call("show", source, "r-17é").stdout.splitlines()
    numbers = [f"      - {number}" for number in range(1, 5)]
    assert shown[-7:] == ["  input:", "    - - 0", *numbers, "      … 55 more"]


def test_results_are_shown_all(tmp_path: Path) -> None:
    """Every line with the id: first the fault, then the answer."""
    path = tmp_path / "out.jsonl"
    path.write_text(fault_line("a", "server_error", 500) + answer_line("a", "Hello\nyou\ud800"))
    done = call("show", path, "a")
    assert done.stderr == f"{path}:1\n{path}:2\n"
    assert "code: server_error" in done.stdout
    assert "            Hello\n            you\ufffd\n" in done.stdout


def test_a_campaign_shows_both(source: Path, tmp_path: Path) -> None:
    """The request and, where there is one already, its result."""
    folder = tmp_path / "in.campaign"
    folder.mkdir()
    (folder / "campaign.json").write_text("{}")
    (folder / "input.jsonl").write_bytes(source.read_bytes())
    assert call("show", folder, "r-1", "--json").stdout.count("\n") == 1
    (folder / "results.jsonl").write_text(answer_line("r-1", "x"))
    lines = call("show", folder, "r-1", "--json").stdout.splitlines()
    assert ["response" in json.loads(text) for text in lines] == [False, True]


def test_what_is_not_there_is_told(source: Path, tmp_path: Path) -> None:
    """Exit code 1, with how the lines look."""
    done = call("show", source, "r-9")
    assert done.exit_code == 1
    assert 'no custom_id \'r-9\'. It begins: {"custom_id": "r-1"' in done.stderr
    assert call("show", tmp_path / "nothing.jsonl", "a").exit_code == 1
