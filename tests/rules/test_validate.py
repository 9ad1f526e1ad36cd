"""What a file is told: every bad content with its code, its line and its field."""

import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.rules import scan as scan_module
from batchyard.rules.limits import LOCAL, RELAXED, STRICT, Limits
from batchyard.rules.lines import Sound, examine
from batchyard.rules.validate import Digest, Scan, explain, fits
from batchyard.wire.lines import read_line, read_model
from batchyard.wire.objects import BatchError, to_json

CHAT = "/v1/chat/completions"
Told = list[tuple[str, int | None, str | None]]


def request(custom_id: object = "a", body: str | None = None, **changes: object) -> str:
    """One request line in the spelling of `json.dumps`; None leaves a field out."""
    fields: dict[str, object] = {"custom_id": custom_id, "method": "POST", "url": CHAT} | changes
    parts = [f'"{name}": {json.dumps(value)}' for name, value in fields.items() if value is not ...]
    return "{" + ", ".join([*parts, f'"body": {body or chat()}']) + "}"


def chat(more: str = "", *, model: str = '"m"') -> str:
    """A chat body with further fields."""
    return f'{{"model": {model}, "messages": [{{"role": "user", "content": "Hi"}}]{more}}}'


def told(
    content: str | bytes,
    *,
    limits: Limits = RELAXED,
    endpoint: str | None = CHAT,
    known: Callable[[str], bool] = lambda _model: True,
) -> Told:
    """Code, line and field of each error; the quick verdict must agree with the exact one."""
    raw = content if isinstance(content, bytes) else content.encode()
    errors = explain(lambda: [raw], endpoint=endpoint, limits=limits, known_model=known)
    assert all(error.message and to_json(error) for error in errors)
    quick = fits(scanned(raw, limits), endpoint=endpoint, limits=limits, known_model=known)
    assert not (quick and errors)
    return [(error.code, error.line, error.param) for error in errors]


def scanned(raw: bytes, limits: Limits = LOCAL, size_bytes: int = 1 << 20) -> Digest:
    """The digest of a file that is fed in chunks of one size."""
    scan = Scan(limits)
    for start in range(0, len(raw), size_bytes):
        scan.feed(raw[start : start + size_bytes])
    return scan.finish()


GOOD = request("good")
BOM = "\ufeff"

SOUND = {
    "B3 byte order mark": BOM + GOOD,
    "B3 byte order mark and blank line": BOM + "\n" + GOOD,
    "B4 CRLF": GOOD + "\r\n" + request("b") + "\r\n",
    "B5 a carriage return at the end": GOOD + "\r",
    "B7 no newline at the end": GOOD + "\n" + request("b"),
    "B7 blank lines at the end": GOOD + "\n\n \n\t\r\n\n",
    "B8 blank lines in the middle": GOOD + "\n\n   \n" + request("b"),
    "B8 blank line first": "\n" + GOOD,
    "B10 escaped NUL in the body": request(body=chat(r', "user": "\u0000"')),
    "B10 lone surrogate in the body": request(body=chat(r', "user": "\ud800"')),
    "B13 numbers": request(
        body=chat(', "a": 18446744073709551616, "b": -0, "c": 1.0, "d": 1E400, "e": 1e999')
    ),
    "B13 a number of 5,000 digits": request(body=chat(f', "seed": {"9" * 5000}')),
    "B14 nesting 100": request(body=chat(f', "x": {"[" * 100}{"]" * 100}')),
    "B14 nesting 128": request(body=chat(f', "x": {"[" * 126}{"]" * 126}')),
    "B14 brackets in a string": request(body=chat(f', "x": "{"[" * 1000}"')),
    "B14 many brackets side by side": request(body=chat(f', "x": [{"[], " * 500}{{}}]')),
    "B15 a key of the body twice": request(body=chat(', "top_p": 1, "top_p": 0.5')),
    "B15 model in a message": request(body=chat(', "x": {"model": "other", "model": 1}')),
    "B15 model as text": request(body=chat(', "x": "model", "y": "\\"model\\""')),
    "B21 ids that differ by case": request("a") + "\n" + request("A"),
    "B21 ids that differ by normal form": request("\u00e9") + "\n" + request("e\u0301"),
    "B21 ids that differ by a space": request("a") + "\n" + request("a "),
    "B22 1,024 bytes": request("x" * 1024),
    "B22 1,024 bytes of two-byte letters": request("\u00e9" * 512),
    "B22 emoji": request("\U0001f600"),
    "B22 emoji, unescaped": GOOD.replace("good", "\U0001f600"),
    "B22 __proto__": request("__proto__"),
    "B22 path": request("../../x"),
    "B22 formula": request("=cmd()"),
    "B22 line separator": GOOD.replace("good", "a\u2028b"),
    "B26 stream false": request(body=chat(', "stream": false')),
    "B26 stream null": request(body=chat(', "stream": null')),
    "B27 numbers that the upstream judges": request(body=chat(', "n": 1000, "max_tokens": -1')),
    "B29 extra keys": GOOD[:-1] + ', "extra": {"a": [1]}, "": 0}',
    "B29 keys in other order": '{"body": ' + chat() + f', "url": "{CHAT}", "method": "POST", '
    '"custom_id": "a"}',
    "B30 private address": request(body=chat(', "image_url": "http://169.254.169.254/"')),
    "B31 markup": request("<script>alert(1)</script>", chat(', "user": "\\u001b[31m"')),
    "keys written with escapes": request(body=chat().replace("model", r"mode\u006c")),
    "no spaces": request(body='{"model":"m","messages":[]}').replace(": ", ":").replace(", ", ","),
    "generous spaces": GOOD.replace(": ", " :  ").replace(", ", " ,\t"),
}


@pytest.mark.parametrize("content", SOUND.values(), ids=SOUND)
def test_odd_but_sound_files_are_accepted(content: str) -> None:
    """What JSON Lines allows is accepted, however odd it looks."""
    assert told(content) == []


def bad(line: str, code: str, param: str | None = None) -> tuple[str, Told]:
    """A file whose second line is refused, and only that."""
    return GOOD + "\n" + line + "\n" + request("after"), [(code, 2, param)]


def not_json(line: str) -> tuple[str, Told]:
    """A file whose second line is no JSON object."""
    return bad(line, "invalid_json_line")


def lacks(name: str, line: str) -> tuple[str, Told]:
    """A file whose second line lacks a field."""
    return bad(line, "missing_required_parameter", name)


def odd_id(custom_id: object) -> tuple[str, Told]:
    """A file whose second line has an impossible custom_id."""
    return bad(request(custom_id), "invalid_custom_id", "custom_id")


def odd_url(url: object) -> tuple[str, Told]:
    """A file whose second line asks for an endpoint that is not that of the batch."""
    return bad(request(url=url), "invalid_url", "url")


def odd_body(body: str, param: str) -> tuple[str, Told]:
    """A file whose second line has a body of the wrong type."""
    return bad(request(body=body), "invalid_request", param)


UNSOUND = {
    "B2 array of requests": not_json("[" + GOOD + "]"),
    "B2 start of a pretty-printed object": not_json("{"),
    "B2 CSV": not_json("custom_id,method"),
    "B2 HTML": not_json("<!doctype html>"),
    "B2 a number": not_json("1"),
    "B2 null": not_json("null"),
    "B3 byte order mark elsewhere": not_json(BOM + request("b")),
    "B5 lone carriage returns": not_json(request("b") + "\r" + request("c")),
    "B9 raw NUL in a string": not_json(request("b").replace("Hi", "\x00")),
    "B9 raw tab in a string": not_json(request("b").replace("Hi", "\t")),
    "B9 raw NUL between tokens": not_json("\x00" + request("b")),
    "B9 form feed between tokens": not_json("\f" + request("b")),
    "B11 escaped NUL in custom_id": odd_id("a\x00"),
    "B11 lone surrogate in custom_id": odd_id("\ud800"),
    "B12 NaN": not_json(request(body=chat(', "x": NaN'))),
    "B12 Infinity": not_json(request(body=chat(', "x": Infinity'))),
    "B12 -Infinity": not_json(request(body=chat(', "x": -Infinity'))),
    "B13 leading zero": not_json(request(body=chat(', "x": 01'))),
    "B13 no digit after the point": not_json(request(body=chat(', "x": 1.'))),
    "B13 plus sign": not_json(request(body=chat(', "x": +1'))),
    "B14 nesting 129": not_json(request(body=chat(f', "x": {"[" * 127}{"]" * 127}'))),
    "B14 nesting 129 in the messages": not_json(
        request(body=f'{{"model": "m", "messages": {"[" * 127}{"]" * 127}}}')
    ),
    "B14 nesting 1,000": not_json(request(body=chat(f', "x": {"[" * 1000}{"]" * 1000}'))),
    "B14 a million brackets": not_json("[" * 1_000_000),
    "B14 a million objects": not_json('{"a":' * 1_000_000),
    "B15 custom_id twice": not_json(GOOD[:-1] + ', "custom_id": "b"}'),
    "B15 url twice": not_json(GOOD[:-1] + f', "url": "{CHAT}"}}'),
    "B15 method twice": not_json(GOOD[:-1] + ', "method": "POST"}'),
    "B15 body twice": not_json(GOOD[:-1] + ', "body":1}'),
    "B15 body twice, the sound one last": not_json(GOOD.replace('"body"', '"body": 0, "body"')),
    "B15 an extra key twice": not_json(GOOD[:-1] + ', "x": 1, "x": 2}'),
    "B15 a key twice, once with escapes": not_json(GOOD[:-1] + r', "ur\u006c": "/v1/x"}'),
    "B15 model twice": not_json(request(body=chat(', "model": "m"'))),
    "B15 model twice, without spaces": not_json(
        '{"custom_id":"a","method":"POST","url":"/v1/chat/completions",'
        '"body":{"model":"m","messages":[],"model":"m"}}'
    ),
    "B15 model twice around messages": not_json(
        request(body='{"messages": [], "model": "m", "messages": [1], "model": "m"}')
    ),
    "B15 model twice, once with escapes": not_json(request(body=chat(r', "mode\u006c": "x"'))),
    "B16 trailing comma": not_json(GOOD[:-1] + ",}"),
    "B16 comment": not_json(request("b") + " // note"),
    "B16 single quotes": not_json(request("b").replace('"', "'")),
    "B16 two objects": not_json(request("b") + request("c")),
    "B16 text after the object": not_json(request("b") + " x"),
    "B16 bad escape": not_json(request("b").replace("Hi", r"\x")),
    "B16 cut": not_json(request("b")[:-5]),
    "B22 custom_id missing": lacks("custom_id", request(...)),
    "B22 custom_id null": odd_id(None),
    "B22 custom_id empty": odd_id(""),
    "B22 custom_id a number": odd_id(1),
    "B22 custom_id a list": odd_id(["a"]),
    "B22 custom_id of 10 KB": odd_id("x" * 10_000),
    "B22 custom_id of 1,025 bytes": odd_id("x" * 1025),
    "B22 custom_id of 1,026 bytes in 513 letters": odd_id("\u00e9" * 513),
    "B22 custom_id with a line break": odd_id("a\nb"),
    "B22 custom_id with an ANSI escape": odd_id("\x1b[31m"),
    "B22 custom_id with a C1 control": odd_id("a\x85"),
    "B23 GET": bad(request(method="GET"), "invalid_method", "method"),
    "B23 lower case": bad(request(method="post"), "invalid_method", "method"),
    "B23 null": bad(request(method=None), "invalid_method", "method"),
    "B23 missing": lacks("method", request(method=...)),
    "B24 missing": lacks("url", request(url=...)),
    "B24 unknown": odd_url("/v1/unknown"),
    "B24 full URL": odd_url("https://api.openai.com/v1/chat/completions"),
    "B24 trailing slash": odd_url(CHAT + "/"),
    "B24 query": odd_url(CHAT + "?a=1"),
    "B24 other host": odd_url("//evil" + CHAT),
    "B24 dots": odd_url("/v1/../v1/chat/completions"),
    "B24 a number": odd_url(1),
    "B24 a list": odd_url([CHAT]),
    "B24 not the endpoint of the batch": bad(
        request(url="/v1/embeddings", body='{"model": "m", "input": "x"}'), "invalid_url", "url"
    ),
    **{
        f"B24 not the endpoint of the batch, and {what}": bad(
            request(url=url, body=body), "invalid_url", "url"
        )
        for what, url, body in (
            ("a body for that of the batch", "/v1/embeddings", chat()),
            ("no model", "/v1/embeddings", "{}"),
            ("a body that is none", "/v1/responses", "[]"),
            ("a stream", "/v1/responses", '{"model": "m", "stream": true}'),
        )
    },
    "B25 body missing": lacks(
        "body", '{"custom_id": "b", "method": "POST", "url": "' + CHAT + '"}'
    ),
    "B25 body null": odd_body("null", "body"),
    "B25 body a list": odd_body("[]", "body"),
    "B25 body a string": odd_body('"{}"', "body"),
    "B25 model missing": lacks("body.model", request(body='{"messages": []}')),
    "B25 model a number": odd_body(chat(model="1"), "body.model"),
    "B25 model null": odd_body(chat(model="null"), "body.model"),
    "B25 model empty": odd_body(chat(model='""'), "body.model"),
    "B25 model a list": odd_body(chat(model='["m"]'), "body.model"),
    "B25 messages missing": lacks("body.messages", request(body='{"model": "m"}')),
    "B26 stream": bad(
        request(body=chat(', "stream": true')), "streaming_unsupported", "body.stream"
    ),
    "B26 stream, as some servers read it": bad(
        request(body=chat(', "stream": "true"')), "streaming_unsupported", "body.stream"
    ),
    "B25 a model with half a character": odd_body(chat(model='"\\ud800"'), "body.model"),
    "B25 a model of 1,025 bytes": odd_body(chat(model='"' + "m" * 1025 + '"'), "body.model"),
    "B24 half a character": odd_url("\ud800"),
    "B15 half a character twice": not_json(GOOD[:-1] + r', "\ud800": 1, "\ud800": 2}'),
    "B29 a key in other case": lacks("custom_id", GOOD.replace("custom_id", "Custom_ID")),
}


@pytest.mark.parametrize(("content", "expected"), UNSOUND.values(), ids=UNSOUND)
def test_a_bad_line_is_told_by_code_line_and_field(content: str, expected: Told) -> None:
    """A bad line is told by its number, an OpenAI code and its field; its neighbours are fine."""
    assert told(content) == expected


@pytest.mark.parametrize(
    "content", [b"", b"\n\n\n", b"   ", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"]
)
def test_a_file_without_a_request_is_empty(content: bytes) -> None:
    """B1: nothing, or nothing but white space, is an empty file."""
    assert told(content) == [("empty_file", None, None)]


FOREIGN = {
    "gzip": (b"\x1f\x8b\x08\x00\xff", "uncompressed"),
    "zip": (b"PK\x03\x04\x14\x00", "archive"),
    "zstd": (b"\x28\xb5\x2f\xfd\xff", "archive"),
    "tar": (b"requests.jsonl" + b"\x00" * 100, "must be one JSON object"),
    "PDF": (b"%PDF-1.7", "PDF"),
    "array": (b"[{}]", "array"),
    "pretty-printed": (b"{\r", "pretty-printed"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "UTF-16"),
    "UTF-32": (GOOD.encode("utf-32"), "UTF-16"),
    "Latin-1": (GOOD.replace("Hi", "\u00e9").encode("latin-1"), "not UTF-8"),
    "overlong": (GOOD.encode().replace(b"Hi", b"\xc0\xaf"), "not UTF-8"),
    "raw surrogate": (GOOD.encode().replace(b"Hi", b"\xed\xa0\x80"), "not UTF-8"),
    "HTML": (b"<html>", "does not begin"),
}


@pytest.mark.parametrize(("content", "hint"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_kind_is_told_what_it_is(content: bytes, hint: str) -> None:
    """B2, B6, B20: the first line's message says what the file looks like."""
    first = explain(lambda: [content], endpoint=CHAT, limits=RELAXED, known_model=bool)[0]
    assert (first.code, first.line) == ("invalid_json_line", 1)
    assert hint in first.message


def test_the_same_custom_id_twice_names_both_lines() -> None:
    """B21: a duplicate is told at its own line, and its message names the first one."""
    content = "\n".join([request("a"), "", request("b"), request("a"), r'{"custom_id": "\u0061"'])
    content += request("b")[len('{"custom_id": "b"') :]
    errors = explain(
        lambda: [content.encode()], endpoint=CHAT, limits=RELAXED, known_model=lambda _model: True
    )
    assert [(one.code, one.line) for one in errors] == [
        ("duplicate_custom_id", 4),
        ("duplicate_custom_id", 5),
    ]
    assert all("line 1 " in one.message for one in errors)


def test_a_known_shape_vouches_for_nothing_but_itself() -> None:
    """A line is not taken for sound because it begins and ends like one that is."""
    compact = request("x", '{"model":"m","messages":[]}').replace(": ", ":").replace(", ", ",")
    sound = compact.replace('"x"', r'"a\"c"')
    broken = compact.replace('"x"', '"b"c"')
    twice = compact.replace("[]", '[],"messages":[],"model":"n","messages":[]')
    control = compact.replace('"x"', '"\t"')
    told_lines = [line for _, line, _ in told("\n".join([sound, compact, broken, twice, control]))]
    assert told_lines == [3, 4, 5]


def test_duplicates_far_apart_are_found() -> None:
    """B21: the first and the last of 5,000 lines may not share a custom_id."""
    lines = [request(f"r{number}") for number in range(4_999)]
    assert told("\n".join([*lines, request("r0")])) == [("duplicate_custom_id", 5_000, "custom_id")]


@pytest.mark.parametrize("order", [1, -1])
def test_very_many_duplicates_are_counted_without_being_held(order: int) -> None:
    """B21: 10,000 lines are remembered; of duplicates of others it is known how many there are."""
    half = [request(f"r{number}").encode() + b"\n" for number in range(10_200)]

    def chunks() -> Iterator[bytes]:
        yield from half
        yield from half[::order]

    errors = explain(chunks, endpoint=CHAT, limits=LOCAL, known_model=lambda _model: True)
    assert len(errors) == 1_000
    assert {one.code for one in errors[:-1]} == {"duplicate_custom_id"}
    assert errors[-1].message.startswith("9,201 more lines")
    lines = [one.line or 0 for one in errors[:-1]]
    assert (lines[0], lines) == (10_201 if order == 1 else 10_401, sorted(lines))


def test_models_must_be_the_same_in_the_strict_profile() -> None:
    """B25: OpenAI takes one model per file, and we tell each line that has another."""
    content = "\n".join([GOOD, request("b", chat(model='"n"')), request("c")])
    assert told(content, limits=STRICT) == [("mismatched_model", 2, "body.model")]
    assert told(content, limits=RELAXED) == []


def test_an_unknown_model_is_told_at_each_line() -> None:
    """B25: a model that no upstream has is an error of each line that names it."""
    content = "\n".join([GOOD, request("b", chat(model='"n"')), request("c", chat(model='"n"'))])
    assert told(content, known=lambda model: model == "m") == [
        ("model_not_found", 2, "body.model"),
        ("model_not_found", 3, "body.model"),
    ]


def test_different_models_are_counted_up_to_a_limit() -> None:
    """Each model is remembered, so there may only be so many."""
    lines = [request(f"r{number}", chat(model=f'"m{number}"')) for number in range(4)]
    few = msgspec.structs.replace(RELAXED, models_max=3)
    assert told("\n".join([*lines, request("x", chat(model='"m0"'))]), limits=few) == [
        ("mismatched_model", 4, "body.model")
    ]


def test_requests_and_bytes_are_limited() -> None:
    """B18, B19: the limit itself is fine, one more is not."""
    content = "\n".join(request(f"r{number}") for number in range(5))
    for name, most, code in (
        ("requests_max", 5, "maximum_requests_exceeded"),
        ("input_bytes_max", len(content), "maximum_input_file_size_exceeded"),
    ):
        assert told(content, limits=msgspec.structs.replace(RELAXED, **{name: most})) == []
        less = msgspec.structs.replace(RELAXED, **{name: most - 1})
        assert told(content, limits=less) == [(code, None, None)]


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ('"one"', 1),
        ('["one", "two"]', 2),
        ("[1, 2, 3]", 1),
        ("[[1, 2], [3]]", 2),
        ("[ ]", 1),
        (r'["\ud800", ""]', 2),
    ],
)
def test_embedding_inputs_are_counted(texts: str, count: int) -> None:
    """B28: each text counts, and an array of tokens is one text."""
    body = f'{{"model": "m", "input": {texts}}}'
    content = "\n".join(request(f"r{n}", body, url="/v1/embeddings") for n in range(3))
    assert scanned(content.encode()).embedding_inputs == 3 * count
    enough = msgspec.structs.replace(RELAXED, embedding_inputs_max=3 * count)
    less = msgspec.structs.replace(RELAXED, embedding_inputs_max=3 * count - 1)
    assert told(content, limits=enough, endpoint="/v1/embeddings") == []
    assert told(content, limits=less, endpoint="/v1/embeddings") == [
        ("maximum_embedding_inputs_exceeded", None, None)
    ]


@pytest.mark.parametrize(("count", "listed"), [(3, 3), (4, 4), (5, 4), (9, 4)])
def test_errors_are_listed_up_to_a_limit(count: int, listed: int) -> None:
    """A file with more errors than can be listed says how many more there are."""
    few = msgspec.structs.replace(RELAXED, errors_max=4)
    content = b"\n".join([b"x"] * count)
    errors = explain(lambda: [content], endpoint=CHAT, limits=few, known_model=bool)
    assert len(errors) == listed
    if count > 4:
        assert (errors[-1].code, errors[-1].line) == ("too_many_errors", None)
        assert errors[-1].message.startswith(f"{count - 3} more lines")


WRONG = {
    "text": b"x",
    "an empty object": b"{}",
    "another method": request(method="GET").encode(),
    "deep": b"[" * 200,
    "too long": b"y" * 5_000,
    "bytes": b"\xff",
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong_for_good_is_not_examined_to_its_end(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of wrong lines costs no more than a few; lines and bytes are counted all the same."""
    looked: list[int] = []

    def watched(text: bytes, number: int, *rest: Any) -> Sound | BatchError:
        looked.append(number)
        return examine(text, number, *rest)

    monkeypatch.setattr(scan_module, "examine", watched)
    raw = GOOD.encode() + b"\n\n" + b"\n".join([line] * 3_000) + b"\n\n \n" + line
    few = msgspec.structs.replace(SHORT, errors_max=10, wrong_lines_max=50)
    digest = scanned(raw, few)
    assert (digest.lines, digest.blank_lines, digest.bytes) == (3_002, 3, len(raw))
    assert (digest.errors_total, digest.stopped, digest.shards) == (50, True, ())
    assert len(looked) <= 53
    assert msgspec.json.decode(msgspec.json.encode(digest), type=Digest) == digest
    assert not fits(digest, endpoint=CHAT, limits=few, known_model=lambda _model: True)
    errors = explain(lambda: [raw], endpoint=CHAT, limits=few, known_model=lambda _model: True)
    assert len(errors) == 10
    assert errors[-1].message.startswith("At least 41 more lines")


def test_a_file_over_the_limit_is_not_examined_to_its_end() -> None:
    """That it has too many requests is told exactly, and what was found up to there."""
    limits = msgspec.structs.replace(RELAXED, requests_max=1_000)
    content = "\n".join([request("x"), request("x"), *(request(f"r{n}") for n in range(5_000))])
    assert told(content, limits=limits) == [
        ("maximum_requests_exceeded", None, None),
        ("duplicate_custom_id", 2, "custom_id"),
    ]
    digest = scanned(content.encode(), limits)
    assert (digest.lines, digest.bytes, digest.stopped) == (5_002, len(content), True)
    assert sum(digest.urls.values()) < 2_000


def test_a_line_that_is_too_long_is_refused_without_being_held() -> None:
    """B17: an endless line costs no memory, and the lines around it are read."""
    block = b"x" * (1 << 20)

    def chunks() -> Iterator[bytes]:
        yield GOOD.encode() + b"\n"
        for _ in range(100):
            yield block
        yield b"\n" + request("after").encode()

    explain(lambda: [b""], endpoint=CHAT, limits=RELAXED, known_model=bool)
    tracemalloc.start()
    errors = explain(chunks, endpoint=CHAT, limits=RELAXED, known_model=lambda _model: True)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(one.code, one.line) for one in errors] == [("invalid_json_line", 2)]
    assert most_bytes < 12 << 20


@pytest.mark.parametrize("size_bytes", [50, 1 << 20])
def test_very_many_lines_that_are_too_long_are_each_told(size_bytes: int) -> None:
    """B17: more of them than a shard has lines disturb nothing."""
    raw = b"\n".join([GOOD.encode(), *[b"x" * 300] * 1_200, GOOD.encode()])
    short = msgspec.structs.replace(LOCAL, line_bytes_max=200)
    digest = scanned(raw, short, size_bytes)
    assert (digest.lines, digest.errors_total) == (1_202, 1_200)


@pytest.mark.parametrize("size_bytes", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_limit_of_a_line_is_exact(size_bytes: int, end: str) -> None:
    """A line of exactly the limit is fine and one byte more is not, however it arrives."""
    for mark in ("", BOM):
        raw = (mark + GOOD + end).encode()
        size = len(raw) - len(end)
        exact = msgspec.structs.replace(RELAXED, line_bytes_max=size)
        less = msgspec.structs.replace(RELAXED, line_bytes_max=size - 1)
        assert scanned(raw, exact, size_bytes).errors_total == 0
        refused = scanned(raw, less, size_bytes)
        assert [(one.code, one.line) for one in refused.errors] == [("invalid_json_line", 1)]
        assert (refused.bytes, refused.lines) == (len(raw), 1)


def test_a_million_lines_take_little_memory() -> None:
    """A scan keeps eight bytes per line: less than 25 MB for a million lines."""
    line = request("request-%d").encode() + b"\n"

    def chunks() -> Iterator[bytes]:
        for start in range(0, 100_000, 1_000):
            yield b"".join(line % number for number in range(start, start + 1_000))

    scan = Scan(LOCAL)
    tracemalloc.start()
    for chunk in chunks():
        scan.feed(chunk)
    digest = scan.finish()
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (digest.lines, digest.suspects, digest.errors_total) == (100_000, False, 0)
    assert most_bytes < 2_500_000


# Pieces of which files are made: sound lines, odd ones, and what stands between them.
PIECES = [
    *(request(f"r{number}").encode() for number in range(3)),
    request("e", '{"model": "e", "input": ["a", "b"]}', url="/v1/embeddings").encode(),
    request("u", chat(', "user": "\u00fc\u2028"')).replace("\\u", "\u00fc").encode(),
    *(line.encode() for line, _ in list(UNSOUND.values()) if len(line) < 3_000),
    *(line.encode() for line in SOUND.values() if len(line) < 3_000),
    b"\xff",
    b"\xef\xbb\xbf",
    b" ",
    b"\r",
    b"",
    b"x" * 5_000,
]
FILES = st.lists(st.sampled_from(PIECES), max_size=8).map(b"\n".join)
SHORT = msgspec.structs.replace(RELAXED, line_bytes_max=4_000)


@settings(max_examples=150, deadline=None)
@given(FILES, st.lists(st.integers(0, 20_000), max_size=12))
def test_where_chunks_are_cut_does_not_matter(raw: bytes, cuts: list[int]) -> None:
    """A file has one digest, however its bytes arrive."""
    bounds = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    scan = Scan(SHORT)
    for start, stop in pairwise(bounds):
        scan.feed(raw[start:stop])
    assert scan.finish() == scanned(raw, SHORT)


@settings(max_examples=100, deadline=None)
@given(FILES, st.lists(st.integers(0, 20_000), max_size=12))
def test_where_examining_stops_does_not_depend_on_where_chunks_are_cut(
    raw: bytes, cuts: list[int]
) -> None:
    """And lines and bytes are counted as if it had gone on."""
    hasty = msgspec.structs.replace(SHORT, errors_max=1, wrong_lines_max=2)
    bounds = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    scan = Scan(hasty)
    for start, stop in pairwise(bounds):
        scan.feed(raw[start:stop])
    digest, whole = scan.finish(), scanned(raw, SHORT)
    assert digest == scanned(raw, hasty)
    counts = (digest.lines, digest.blank_lines, digest.bytes)
    assert counts == (whole.lines, whole.blank_lines, whole.bytes)
    assert digest.stopped == (whole.errors_total >= 2)
    assert digest.errors_total == min(2, whole.errors_total)


@settings(max_examples=100, deadline=None)
@given(FILES)
def test_the_quick_look_and_the_exact_one_agree(raw: bytes) -> None:
    """A scan accepts a line exactly when its exact examination does."""
    refused = scanned(raw, SHORT).errors
    expected = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line and not line.isspace() and len(line) < 4_000:
            found = examine(line, number, SHORT)
            if not isinstance(found, Sound):
                expected.append(found)
    assert [one for one in refused if "longer than" not in one.message] == expected


ENDS = ["", "\n", "\r\n", "\n\n\n", "\n \t\n" * 3]


@pytest.mark.parametrize("start", ["", BOM, "\n\n", BOM + "\r\n\n"])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\n" * 7])
@pytest.mark.parametrize(("end", "count"), [*((end, 501) for end in ENDS), ("\n\n", 1), ("", 500)])
def test_shards_hold_every_line_once(start: str, between: str, end: str, count: int) -> None:
    """Shards cover the file, one after the other, and each holds as many lines as it says."""
    raw = (start + between.join(request(f"r{n}") for n in range(count)) + end).encode()
    digest = scanned(raw, LOCAL, 10_000)
    assert (digest.bytes, digest.lines, digest.errors) == (len(raw), count, ())
    position = index = 0
    for span in digest.shards:
        assert (span.offset, span.first_index) == (position, index)
        found = list(lines_in(raw[span.offset : span.offset + span.bytes]))
        assert [read_line(line).custom_id for line in found] == [
            f"r{index + n}" for n in range(span.lines)
        ]
        position, index = position + span.bytes, index + span.lines
    assert (position, index) == (len(raw), count)


def test_a_long_run_of_blank_lines_makes_no_long_shard() -> None:
    """Shards are read into memory, so none may grow by blank lines."""
    raw = GOOD.encode() + b"\n" * (20 << 20) + request("b").encode()
    digest = scanned(raw)
    assert [span.lines for span in digest.shards] == [1, 1]
    assert max(span.bytes for span in digest.shards) < 4 << 20
    assert sum(span.bytes for span in digest.shards) < len(raw)


def lines_in(span: bytes) -> Iterable[bytes]:
    """The request lines of a span."""
    lines = span.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return (line for line in lines if line and not line.isspace())


def test_a_digest_counts_what_the_file_has() -> None:
    """Urls and models count lines, and a digest survives being stored as JSON."""
    body = '{"model": "e", "input": "x"}'
    content = "\n".join(
        [
            request("a"),
            request("b"),
            request("c", body, url="/v1/embeddings"),
            request("d", '{"prompt": "x"}', url="/v1/images/generations"),
        ]
    )
    digest = scanned(content.encode())
    assert digest.urls == {CHAT: 2, "/v1/embeddings": 1, "/v1/images/generations": 1}
    assert digest.models == {"m": 2, "e": 1, "": 1}
    assert digest.input_tokens == (2 * len(chat()) + len(body) + len('{"prompt": "x"}')) // 4
    assert msgspec.json.decode(msgspec.json.encode(digest), type=Digest) == digest
    assert [read_model(line.encode()) for line in content.split("\n")] == ["m", "m", "e", ""]


def test_a_digest_is_enough_for_an_ordinary_file() -> None:
    """A sound file is accepted without a second look at its bytes."""
    digest = scanned("\n".join(request(f"r{n}") for n in range(100)).encode(), STRICT)
    assert fits(digest, endpoint=CHAT, limits=STRICT, known_model=lambda model: model == "m")
    assert not fits(digest, endpoint=CHAT, limits=STRICT, known_model=lambda _model: False)
    assert not fits(digest, endpoint="/v1/embeddings", limits=STRICT, known_model=bool)
