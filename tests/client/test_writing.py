"""Files of requests are whole or not there, and have each custom_id once."""

import json
from pathlib import Path

import pytest

from batchyard.client.building.build import DuplicateIdError, RequestFile, chat
from batchyard.client.building.writing import Seen


def ids(path: Path) -> list[str]:
    """The custom_ids of a file."""
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]


def test_the_sdks_calls_write_lines(tmp_path: Path) -> None:
    """Each call of the SDK's that can be batched writes the line for it."""
    path = tmp_path / "made" / "lines.jsonl"
    with RequestFile(path) as out:
        out.chat.completions.create("c", "m1", messages="hi")
        out.chat.completions.parse("p", "m1", messages="hi", response_format={"type": "text"})
        out.responses.create("r", "m1", input="hi")
        out.embeddings.create("e", "m1", input="hi")
        out.completions.create("t", "m1", prompt="hi")
        out.moderations.create("m", input="hi")
        out.images.generate("i", prompt="hi")
        out.images.edit("d", prompt="hi")
        assert not path.exists()
    assert ids(path) == ["c", "p", "r", "e", "t", "m", "i", "d"]
    assert (out.lines, out.bytes) == (8, path.stat().st_size)
    assert list(path.parent.iterdir()) == [path]


def test_a_custom_id_is_written_once(tmp_path: Path) -> None:
    """The second request of a custom_id is refused where it is written."""
    with RequestFile(tmp_path / "lines.jsonl") as out:
        out.add(chat("a", model="m1", messages="hi"))
        with pytest.raises(DuplicateIdError, match=r"'a' is in lines\.jsonl already"):
            out.add(chat("a", model="m1", messages="ho"))
    assert ids(out.path) == ["a"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """A file comes to be as a whole; a failing script leaves the old one and no rest."""
    path = tmp_path / "lines.jsonl"
    path.write_text("old\n")
    with pytest.raises(ZeroDivisionError), RequestFile(path) as out:
        out.add(chat("a", model="m1", messages="hi"))
        1 / 0  # noqa: B018
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_running_again_replaces_and_does_not_append(tmp_path: Path) -> None:
    """A script that runs twice leaves one file; with `append` it refuses what is there."""
    path = tmp_path / "lines.jsonl"
    for _ in range(2):
        with RequestFile(path) as out:
            out.add(chat("a", model="m1", messages="hi"))
    assert ids(path) == ["a"]
    with RequestFile(path, append=True) as out:
        out.add(chat("b", model="m1", messages="hi"))
        with pytest.raises(DuplicateIdError):
            out.add(chat("a", model="m1", messages="hi"))
    assert ids(path) == ["a", "b"]


def test_many_custom_ids_are_remembered() -> None:
    """Those of a large file are all known, and no others."""
    seen = Seen()
    assert all(seen.add(f"a{number}") for number in range(200_000))
    assert not any(seen.add(f"a{number}") for number in range(0, 200_000, 997))
    assert seen.add("b")
