"""Files that are not all in UTF-8, in the verbs that read files of requests."""

from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import line

SOUND = line("a", model="gpt-5", max_tokens=5).encode()
# In a value that is read, in one that is not, in a key.
ODD = [
    SOUND.replace(b'"a"', b'"\xff"'),
    line("b", "", user="x").encode().replace(b'"x"', b'"\xff"'),
    SOUND.replace(b'"method"', b'"m\xe9thod"'),
]


@pytest.mark.parametrize("odd", ODD, ids=["value", "unread value", "key"])
@pytest.mark.parametrize(
    "words",
    [
        ["check", "IN"],
        ["fix", "IN", "-o", "OUT"],
        ["estimate", "IN"],
        ["stats", "IN"],
        ["split", "IN", "-o", "OUT"],
        ["edit", "IN", "-o", "OUT", "--set", "body.seed=1"],
        ["sample", "IN", "-o", "OUT", "-n", "9"],
        ["show", "IN", "a"],
        ["show", "IN", "b"],
        ["diff", "IN", "IN"],
    ],
    ids=" ".join,
)
def test_a_line_that_is_not_utf_8_ends_no_verb_in_a_traceback(
    tmp_path: Path, words: list[str], odd: bytes
) -> None:
    """Such a line is told, passed over or passed on, as another that cannot be read."""
    names = {"IN": tmp_path / "in.jsonl", "OUT": tmp_path / "out"}
    names["IN"].write_bytes(SOUND + odd)
    done = call(*(names.get(word, word) for word in words))
    if words[0] in ("check", "fix"):
        assert done.exit_code == 3
        assert "2: error invalid_json_line: " in done.stdout + done.stderr
    if words[0] == "fix":
        assert names["OUT"].read_bytes().endswith(odd)


@pytest.mark.parametrize(
    "words",
    [
        ["stats", "IN"],
        ["show", "IN", "a"],
        ["errors", "IN"],
        ["diff", "IN", "IN"],
        ["merge", "ASKED", "IN", "-o", "OUT"],
        ["report", "IN", "-o", "OUT"],
    ],
    ids=" ".join,
)
def test_an_answer_that_is_not_utf_8_ends_no_verb_in_a_traceback(
    tmp_path: Path, words: list[str]
) -> None:
    """It is an answer without the JSON that was asked for."""
    names = {"IN": tmp_path / "in.jsonl", "OUT": tmp_path / "out", "ASKED": tmp_path / "asked"}
    names["ASKED"].write_bytes(SOUND)
    names["IN"].write_bytes(
        b'{"id":"r","custom_id":"a","response":{"status_code":200,"request_id":"q","body":'
        b'{"choices":[{"message":{"content":"\xff"}}]}},"error":null}\n'
    )
    done = call(*(names.get(word, word) for word in words))
    assert done.exit_code in (0, 6), done.stderr
