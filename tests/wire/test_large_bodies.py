"""Bodies as large as an upstream may send cost a small multiple of their size in memory."""

import json
import tracemalloc
from collections.abc import Callable

import pytest

from batchyard.wire.json_texts import split_object
from batchyard.wire.lines import AnswerFacts, read_answer, read_line, read_result, render_answer
from batchyard.wire.outcomes import read_outcome, read_row

_SIZE = 700_000
_HALF = rb'"\ud800"'


def _of(unit: bytes) -> bytes:
    return unit * (_SIZE // len(unit))


# Each has half of a surrogate pair, which the fast decoder refuses, and a line break.
BODIES = {
    "one string": b'{"a":\n"' + _of(b"xy") + rb'\ud800"}',
    "one string of escapes": b'{"a":\n"' + _of(b'\\"') + rb'\ud800"}',
    "halves": b'{"a":\n"' + _of(rb"\ud800") + b'"}',
    "lists": b'{"a":\n[' + _of(b"[],") + _HALF + b"]}",
    "short strings": b'{"a":\n[' + _of(b'"",') + _HALF + b"]}",
    "numbers in lines": b'{"a":[' + _of(b"1.5,\n") + _HALF + b"]}",
    "spaces": b'{"a":' + _of(b" ") + b"\n" + _HALF + b"}",
    "line breaks": b'{"a":' + _of(b"\n") + _HALF + b"}",
    "an error of lists": b'{"a":\n1,"error":[' + _of(b"[],") + _HALF + b"]}",
    "usage of lists": b'{"a":\n1,"usage":[' + _of(b"[],") + _HALF + b"]}",
    "a key twice": b'{"a":\n[' + _of(b"[],") + b'1],"a":' + _HALF + b"}",
    "an error": b'{"error":[' + _of(b"[],") + b"1]}",
    "usage": b'{"usage":[' + _of(b"[],") + b"1]}",
    "choices": b'{"choices":[' + _of(b"[],") + b"1]}",
    "letters of four bytes": b'{"a":\n"' + _of("\U0001f600".encode()) + rb'\ud800"}',
    "no JSON": _of(b"[]\n") + b"\xf0\x9f\x98\x80\xff",
}


def _line(body: bytes, status: int) -> bytes:
    return b"".join(render_answer("batch_req_00000001", "a", status, "req_1", body))


READS: list[Callable[[bytes], object]] = [
    read_answer,
    lambda body: read_result(_line(body, 200)),
    lambda body: read_outcome(_line(body, 500)),
    lambda body: read_row(_line(body, 200), succeeded=True),
]


@pytest.mark.parametrize("name", BODIES)
def test_a_large_body_takes_a_small_multiple_of_its_size(name: str) -> None:
    """Neither lists of nothing nor escapes nor line breaks are built, one by one, in memory."""
    body = BODIES[name]
    tracemalloc.start()
    try:
        for read in READS:
            read(body)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * len(body)


@pytest.mark.parametrize("name", BODIES)
def test_a_large_body_says_what_a_small_one_would(name: str) -> None:
    """Its line is one line with the same value, and reads back as the answer that it is."""
    body = BODIES[name]
    line = _line(body, 200)
    assert line.index(b"\n") == len(line) - 1
    kept = split_object(split_object(line)["response"])["body"]
    try:
        value = json.loads(body)
    except ValueError:
        assert json.loads(kept) == body.decode(errors="replace")
        assert read_answer(body) is None
        return
    assert json.loads(kept) == value
    facts = AnswerFacts(is_error="error" in value)
    assert (read_answer(body), read_result(line).facts) == (facts, facts)


ODD_OBJECTS = [
    rb'{"a":"\ud800","b":[1,{"c":"]\""}],"d":-1.5e3,"e":true,"f":null}',
    rb' { "\ud800" : "\udbff\\ud8" , "x" : { } , "y" : [ ] , "z" : 12 } ',
    rb'{"a":[1],"a":[1,2],"a":{"a":[]},"a":"\ud800"}',
    rb'{"a":[["]"],[1]],"a":[["]"]],"\u0061":1}',
    b"{}",
    b'{"a":NaN}',
]


@pytest.mark.parametrize("text", ODD_OBJECTS)
def test_a_large_object_is_cut_like_a_small_one(text: bytes) -> None:
    """Every value comes out byte for byte, also where a key stands twice."""
    room = b" " * 70_000
    large = text.rstrip()[:-1] + room + b"}"
    assert split_object(large) == split_object(text)
    assert split_object(room + text) == split_object(text)


def test_what_a_large_answer_says_is_found() -> None:
    """A message and a text are shown, emoji and half characters and all, beside megabytes."""
    large = b'"x":[' + b"[]," * 50_000 + b"1]"
    error = rb'{"error":{"code":"c","message":"\ud83d\ude00"},%b}' % large
    assert read_outcome(_line(error, 500)).message == "\U0001f600"
    half = error.replace(b'"x"', rb'"\ud800"')
    assert read_outcome(_line(half, 500)).message == "\U0001f600"
    said = rb'{"output":[{},{"content":[{"text":"\ud83d\ude00"}]}],%b}' % large
    assert read_row(_line(said, 200), succeeded=True).content == "\U0001f600"
    text = rb'{"choices":[{"message":{"content":"\ud83d\ude00"}}],%b}' % large
    assert read_row(_line(text, 200), succeeded=True).content == "\U0001f600"
    request = rb'{"custom_id":"a","url":"/v1/x","body":{"user":"\ud800",%b}}' % large
    assert read_line(request).custom_id == "a"
