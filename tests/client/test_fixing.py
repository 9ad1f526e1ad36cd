"""What is repaired in a file, and what is not touched."""

import json

import pytest

from batchyard.client.apis.targets import TARGETS
from batchyard.client.examining.checking import check
from batchyard.client.examining.fixing import Change, fix
from tests.client.lines import CHAT, EMBEDDINGS, RESPONSES, chunked, line

OPENAI = TARGETS["openai"]


def fixed(text: str, target: str = "openai", url: str | None = None) -> tuple[str, list[Change]]:
    """The repaired text and all changes."""
    lines: list[str] = []
    changes: list[Change] = []
    for one, told in fix(chunked(text), TARGETS[target], url=url):
        changes.extend(told)
        lines.extend([] if one is None else [one.decode() + "\n"])
    return "".join(lines), changes


def test_a_sound_file_stays_as_it_is() -> None:
    """Not a byte of a sound line is touched, and nothing is told."""
    text = line("a", temperature=0.10000000000000000001) + line("b", user="\\u00e9 \ud7ff")
    assert fixed(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (line("a") + line("a"), "duplicate_custom_id"),
        (line("a") + "\n \n" + line("b"), "blank_lines"),
        ("\ufeff" + line("a"), "byte_order_mark"),
        (line(7), "invalid_custom_id"),
        (line(""), "invalid_custom_id"),
        (line(None), "invalid_custom_id"),
        (line("a", "https://api.openai.com/v1/chat/completions/", messages=[]), "invalid_url"),
        (line("a", "chat/completions", messages=[]), "invalid_url"),
        (line("a", "/chat/completions", messages=[]), "invalid_url"),
        (line("a").replace('"POST"', '"post"'), "invalid_method"),
        (line("a", stream=True), "streaming_unsupported"),
        (line("a", model="gpt-5", max_tokens=5), "max_tokens_unsupported"),
        (line("a", RESPONSES, max_tokens=5), "max_tokens_unsupported"),
    ],
)
def test_faults_are_repaired(text: str, code: str) -> None:
    """After the repair a check finds nothing, and the change has its code."""
    mended, changes = fixed(text)
    assert [change.code for change in changes] == [code]
    assert check(chunked(mended), OPENAI).findings == ()
    assert fixed(mended) == (mended, [])


def test_ids_that_are_made_up_are_new() -> None:
    """A new id is neither that of a line before nor of one after."""
    mended, changes = fixed("".join(line(name) for name in ("a", "a", "a-2", "a", None, 7)))
    ids = [json.loads(text)["custom_id"] for text in mended.splitlines()]
    assert ids == ["a", "a-3", "a-2", "a-4", "request-5", "7"]
    assert [(one.line, one.before, one.after) for one in changes][:2] == [
        (2, "a", "a-3"),
        (4, "a", "a-4"),
    ]


def test_values_that_are_not_repaired_keep_their_bytes() -> None:
    """In a repaired line numbers and strings are spelled as they were."""
    text = line("a", model="gpt-5", max_tokens=5).replace(
        '"max_tokens"', '"temperature": 0.10000000000000000001, "user": "\\u00e9", "max_tokens"'
    )
    mended, _ = fixed(text)
    assert '"temperature": 0.10000000000000000001, "user": "\\u00e9"' in mended
    assert '"max_completion_tokens": 5' in mended


def test_max_tokens_stays_where_it_is_right() -> None:
    """Older models, and servers that are not OpenAI's, keep 'max_tokens'."""
    assert fixed(line("a", max_tokens=5))[1] == []
    assert fixed(line("a", model="gpt-5", max_tokens=5), "batchyard")[1] == []


def test_a_url_can_be_given_to_all() -> None:
    """`url` is given to every line; a line without one gets that of the others."""
    text = line("a", EMBEDDINGS) + line("b", EMBEDDINGS).replace(EMBEDDINGS, CHAT)
    mended, changes = fixed(text, url=EMBEDDINGS)
    assert [json.loads(one)["url"] for one in mended.splitlines()] == [EMBEDDINGS] * 2
    assert len(changes) == 1
    bare = '{"custom_id": "c", "body": {"model": "m", "messages": []}}\n'
    assert json.loads(fixed(line("a") + bare)[0].splitlines()[1])["url"] == CHAT


def test_what_no_machine_can_mend_stays() -> None:
    """Broken JSON and missing prompts are left for people."""
    text = "oops\n" + '{"custom_id": "a", "method": "POST", "url": "/v1/x", "body": 3}\n'
    assert fixed(text) == (text, [])
