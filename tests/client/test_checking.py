"""What a check tells of a file, for each target."""

import pytest

from batchyard.client.apis.targets import TARGETS, status_of, target_of_url
from batchyard.client.examining.checking import Report, check
from batchyard.rules.limits import STRICT
from batchyard.rules.validate import explain
from tests.client.lines import CHAT, EMBEDDINGS, RESPONSES, chunked, line

OPENAI = TARGETS["openai"]


def told(report: Report) -> list[tuple[str, str, int | None]]:
    """Severity, code and line of each finding."""
    return [(one.severity, one.code, one.line) for one in report.findings]


def test_a_sound_file_has_no_findings() -> None:
    """A file that the server takes is found fine, with its counts."""
    report = check(chunked(line("a") + line("b")), OPENAI)
    assert told(report) == []
    assert (report.requests, report.endpoint, report.models) == (2, CHAT, {"gpt-4o-mini": 2})


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_all_errors_come_in_one_pass(size: int) -> None:
    """Every bad line is told at once, with its number, its beginning and a fix."""
    text = line("a") + "oops\n" + line("a") + line("b", EMBEDDINGS) + line("c", stream=True)
    report = check(chunked(text, size), OPENAI)
    assert told(report) == [
        ("error", "invalid_json_line", 2),
        ("error", "duplicate_custom_id", 3),
        ("error", "invalid_url", 4),
        ("error", "streaming_unsupported", 5),
    ]
    assert report.findings[0].quote == "oops"
    assert str(report.findings[1].quote).startswith('{"custom_id": "a"')
    assert all(one.fix for one in report.findings)


def test_the_words_are_those_of_the_server() -> None:
    """A check says what a strict server of ours would have said."""
    text = line("a") + line("a") + line("c", model="m2") + line(7) + "{}\n"
    chunks = chunked(text)
    server = explain(chunks, endpoint=CHAT, limits=STRICT, known_model=lambda _model: True)
    mine = check(chunks, TARGETS["batchyard-strict"]).errors
    assert [(one.code, one.message, one.param, one.line) for one in server] == [
        (one.code, one.message, one.param, one.line) for one in mine
    ]


@pytest.mark.parametrize(
    ("target", "text", "codes"),
    [
        ("openai", line("a") + line("b", model="m2"), ["mismatched_model"]),
        ("batchyard", line("a") + line("b", model="m2"), ["mixed_models"]),
        ("azure", line("a", EMBEDDINGS), ["invalid_url"]),
        ("azure", line("a", "/chat/completions", messages=[]), []),
        ("openai", line("a", "/chat/completions", messages=[]), ["invalid_url"]),
        ("openai", "\ufeff" + line("a"), ["byte_order_mark"]),
        ("perplexity", line("a") + "\n\n" + line("b"), ["blank_lines"]),
        ("together", line("x" * 65), ["invalid_custom_id"]),
        ("openai", line("x" * 65), []),
        ("openai", "", ["empty_file"]),
    ],
)
def test_targets_differ(target: str, text: str, codes: list[str]) -> None:
    """Limits and quirks are those of the target."""
    assert [one.code for one in check(chunked(text), TARGETS[target]).findings] == codes


def test_a_mark_that_azure_refuses_is_an_error_there_only() -> None:
    """What one target bears and another refuses is a warning here and an error there."""
    chunks = chunked("\ufeff" + line("a"))
    assert len(check(chunks, TARGETS["azure"]).errors) == 1
    assert len(check(chunks, OPENAI).warnings) == 1


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize(
    ("text", "blank"),
    [("\ufeff", 1), ("\ufeff\n", 1), (line("a") + "\n \n" + line("b") + "\n", 3), ("\n\n ", 3)],
)
def test_blank_lines_are_counted(text: str, blank: int, size: int) -> None:
    """Blank lines have no findings of their own; it is told how many there are."""
    found = [one for one in check(chunked(text, size), OPENAI).findings if one.line is None]
    (told_of,) = [one for one in found if one.code == "blank_lines"]
    assert told_of.message.startswith(f"The file has {blank} blank line")


def test_lines_without_url_are_no_errors_where_they_are_usual() -> None:
    """Together's lines may have a custom_id and a body only."""
    text = '{"custom_id": "a", "body": {"model": "m", "messages": []}}\n'
    assert [one.severity for one in check(chunked(text), TARGETS["together"]).findings] == [
        "warning"
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (line("a", model="gpt-5-mini", max_tokens=5), "max_tokens_unsupported"),
        (line("a", model="o3", max_tokens=5), "max_tokens_unsupported"),
        (line("a", RESPONSES, max_tokens=5), "unknown_parameter"),
        (line("a", RESPONSES, messages=[]), "unknown_parameter"),
        (line("a", RESPONSES, max_tokens=5, max_output_tokens=5), "unknown_parameter"),
        (line("a", response_format={"format": {"type": "json_schema"}}), "response_format_shape"),
        (line("a", model="o3-mini", temperature=0), "temperature_unsupported"),
    ],
)
@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_likely_mistakes_are_warned_of(text: str, code: str, size: int) -> None:
    """What OpenAI would refuse line by line, at a price of hours, is told before.

    The mistake may stand in one part of the file, and the model in a later one.
    """
    report = check(chunked(text, size), OPENAI)
    assert told(report) == [("warning", code, 1)]


@pytest.mark.parametrize(
    "text",
    [
        line("a", max_tokens=5, temperature=0),
        line("a", model="gpt-5", max_completion_tokens=5),
        line("a", RESPONSES, max_output_tokens=5),
        line("a", response_format={"type": "json_object"}),
        line("a", messages=[{"role": "user", "content": '"max_tokens" "model": "o3"'}]),
    ],
)
def test_what_is_right_is_not_warned_of(text: str) -> None:
    """Words in a prompt, and parameters where they belong, raise no warning."""
    assert told(check(chunked(text), OPENAI)) == []


def test_a_line_that_is_not_utf_8_has_no_hints() -> None:
    """What cannot be read is an error, and hints are told of the other lines."""
    raw = line("a", model="gpt-5", max_tokens=5).encode()
    report = check(lambda: [raw, raw.replace(b'"a"', b'"\xff"')], OPENAI)
    assert told(report) == [
        ("error", "invalid_json_line", 2),
        ("warning", "max_tokens_unsupported", 1),
    ]


SHAPE = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


@pytest.mark.parametrize("size", [1, 40, 1 << 20])
@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (RESPONSES, {"max_output_tokens": 5}),
        (CHAT, {"model": "gpt-5", "response_format": SHAPE, "max_completion_tokens": 5}),
    ],
)
def test_a_file_that_looks_right_is_read_once(
    url: str, asked: dict[str, object], size: int
) -> None:
    """Parameters where they belong call for no second look, wherever the file is cut."""
    again = chunked("".join(line(f"{n}", url, **asked) for n in range(3)), size)
    chunks = iter([again()])
    assert told(check(lambda: next(chunks), OPENAI)) == []


def test_a_mistake_in_many_lines_is_told_once() -> None:
    """A warning counts its lines and names the first."""
    bad = [line(f"b{n}", model="gpt-5", max_tokens=5) for n in range(500)]
    (found,) = check(chunked(line("a", model="gpt-5") + "".join(bad), 999), OPENAI).findings
    assert (found.line, found.lines) == (2, 500)


def test_enqueued_tokens_have_a_limit() -> None:
    """A file that no queue of the account can take is refused before it is sent."""
    chunks = chunked("".join(line(f"{n}") for n in range(100)))
    report = check(chunks, OPENAI, enqueued_tokens_max=100)
    assert told(report) == [("error", "token_limit_exceeded", None)]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://127.0.0.1:8080/v1", None),
        ("https://notapi.openai.com.example.org", None),
    ],
)
def test_a_target_is_known_by_its_host(url: str, name: str | None) -> None:
    """The base URL says whose rules count."""
    found = target_of_url(url)
    assert (found.name if found else None) == name


def test_statuses_have_one_spelling() -> None:
    """Capitals and the spelling with one l are OpenAI's statuses too."""
    assert [status_of(text) for text in ("COMPLETED", "canceled", "in_progress", "Canceling")] == [
        "completed",
        "cancelled",
        "in_progress",
        "cancelling",
    ]


def test_each_target_names_its_source() -> None:
    """No limit without a source."""
    assert all(target.source and target.name == name for name, target in TARGETS.items())
