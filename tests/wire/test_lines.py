"""Lines: what goes in comes out, byte for byte."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.wire.lines import (
    AnswerFacts,
    body_bytes,
    line_id,
    read_answer,
    read_line,
    read_model,
    read_result,
    render_answer,
    render_failure,
    split_object,
)

ODD_BODIES = [
    b"{}",
    b'{"a":18446744073709551616,"b":1e3,"c":-0,"d":1.0,"e":1E400}',
    b'{"a":"\\u0000","b":"\\/ \\u00e9"}',
    b'{"a":"\\ud800","b":"\\udc00\\ud800"}',
    b'{"model":"\\ud83d\\ude00"}',
    b'{"a":1,"a":2,"a":{"a":3,"a":4}}',
    '{"a":"\u00fc \u2028 \U0001f600"}'.encode(),
    b'{"a":"} , ] \\" \\\\"}',
    b'{"a" : [ 1 , 2 ] }',
    b'{"n":%b}' % (b"9" * 5_000),
]


def render(id: str, custom_id: str, status: int, request_id: str, body: bytes) -> bytes:
    return b"".join(render_answer(id, custom_id, status, request_id, body))


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize("status", [200, 400])
def test_a_body_in_one_line_passes_byte_for_byte(body: bytes, status: int) -> None:
    """Neither numbers nor escapes nor doubled keys nor white space change."""
    line = render("batch_req_1", "a", status, "req_1", body)
    assert line.count(b"\n") == 1
    assert split_object(split_object(line)["response"])["body"] == body
    request = b'{"custom_id":"a","method":"POST","url":"/v1/x","body": %b }' % body
    assert body_bytes(read_line(request)) == body


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize("space", [b"\n", b"\r\n  ", b" \r"])
def test_a_body_in_several_lines_is_compacted(body: bytes, space: bytes) -> None:
    """Line breaks and the indentation around them go; all else stays byte for byte."""
    tokens = re.findall(rb'"(?:[^"\\]|\\.)*"|[^\s"{}\[\]:,]+|[{}\[\]:,]', body)
    line = render("batch_req_1", "a", 200, "req_1", space + space.join(tokens) + space)
    assert split_object(split_object(line)["response"])["body"] == b"".join(tokens)


@pytest.mark.parametrize("body", [b"null", b"\nnull\n", b"1", b'"x"', b"[]", b"true\r\n"])
def test_any_json_value_is_a_body(body: bytes) -> None:
    """An error's body need not be an object to be passed on as JSON."""
    line = json.loads(render("batch_req_1", "a", 500, "req_1", body))
    assert line["response"]["body"] == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"", b"<html>\n</html>", b"\xff\n", b"{} {}", b'{"a":NaN}', b"\x00", b'{"a":']
)
def test_a_body_that_is_no_json_becomes_a_string(body: bytes) -> None:
    """The page of a proxy is shown as text, and the line stays JSON."""
    line = json.loads(render("batch_req_1", "a", 502, "", body))
    assert line["response"] == {
        "status_code": 502,
        "request_id": "",
        "body": body.decode(errors="replace"),
    }
    assert line["error"] is None


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT, TEXT, st.dictionaries(TEXT, VALUES, max_size=4), st.integers(0, 2**32 - 1))
def test_a_rendered_answer_reads_back(
    custom_id: str, request_id: str, body: dict[str, Any], index: int
) -> None:
    """Any id and any body survive, pretty-printed or not, and the line is one line."""
    id = line_id("batch_req_" + "a" * 24, index)
    for indent in (None, 2):
        raw = json.dumps(body, indent=indent).encode()
        line = render(id, custom_id, 200, request_id, raw)
        assert line.index(b"\n") == len(line) - 1
        assert json.loads(line) == {
            "id": id,
            "custom_id": custom_id,
            "response": {"status_code": 200, "request_id": request_id, "body": body},
            "error": None,
        }
        result = read_result(line)
        assert (result.id, result.custom_id) == (id, custom_id)
        assert result.facts == read_answer(raw) is not None


@given(TEXT, TEXT)
def test_a_rendered_failure_reads_back(custom_id: str, message: str) -> None:
    """A line without an answer tells why, and reads back as one without facts."""
    line = render_failure("batch_req_1", custom_id, "batch_expired", message)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) == {
        "id": "batch_req_1",
        "custom_id": custom_id,
        "response": None,
        "error": {"code": "batch_expired", "message": message},
    }
    result = read_result(line)
    assert (result.custom_id, result.facts) == (custom_id, None)


@given(TEXT, TEXT, VALUES)
def test_a_request_line_reads_as_json_does(custom_id: str, model: str, value: object) -> None:
    """The typed reading and the plain one agree, whatever the spelling."""
    request = {"custom_id": custom_id, "url": "/v1/x", "body": {"model": model, "x": value}}
    for ascii_only in (True, False):
        line = json.dumps(request, ensure_ascii=ascii_only).encode()
        read = read_line(line)
        assert (read.custom_id, read.url) == (custom_id, "/v1/x")
        assert json.loads(body_bytes(read)) == request["body"]
        assert read_model(line) == model


def test_lone_surrogates_hide_nothing() -> None:
    """Half a character costs neither the model of its line nor the facts of its answer."""
    request = rb'{"custom_id":"a","url":"/v1/x","body":{"model":"m","user":"\ud800"},"x":[]}'
    assert read_model(request) == "m"
    assert read_model(request.replace(b'"model":"m",', b"")) == ""
    line = render("batch_req_1", "a", 200, "req_1", rb'{"x":"\ud83d"}')
    assert read_result(line).facts == AnswerFacts()
    emoji = rb'{"x":"\ud83d\ude00","usage":{"prompt_tokens":3}}'
    line = render("batch_req_1", "a", 200, "req_1", emoji)
    assert read_result(line).facts == AnswerFacts(input_tokens=3, total_tokens=3)


CHAT_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSES_USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 2},
}
FULL = AnswerFacts(10, 4, 5, 2, 15)
USAGES = [
    (CHAT_USAGE, FULL),
    (RESPONSES_USAGE, FULL),
    ({"prompt_tokens": 8, "total_tokens": 8}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 1, "completion_tokens": 2}, AnswerFacts(1, 0, 2, 0, 3)),
    ({"prompt_tokens_details": None, "prompt_tokens": 1}, AnswerFacts(1, total_tokens=1)),
    ({"prompt_tokens_details": {"cached_tokens": None}}, AnswerFacts()),
    (None, AnswerFacts()),
    ({}, AnswerFacts()),
    ([], AnswerFacts()),
    ("many", AnswerFacts()),
    ({"prompt_tokens": "1"}, AnswerFacts()),
    ({"prompt_tokens": -1}, AnswerFacts()),
    ({"prompt_tokens": 1.5}, AnswerFacts()),
    ({"prompt_tokens": 2**70}, AnswerFacts()),
    ({"total_tokens": 2**62}, AnswerFacts()),
    ({"prompt_tokens": 8, "completion_tokens": None}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 8, "completion_tokens": "5"}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 8, "completion_tokens": -1}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 8, "completion_tokens": True}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 8, "prompt_tokens_details": 4}, AnswerFacts(8, total_tokens=8)),
    ({"prompt_tokens": 8, "total_tokens": {"x": 1}}, AnswerFacts(8, total_tokens=8)),
    (
        {"input_tokens": 8, "input_tokens_details": {"cached_tokens": 3, "x": [], "y": None}},
        AnswerFacts(8, 3, total_tokens=8),
    ),
    (
        CHAT_USAGE | {"completion_tokens_details": {"reasoning_tokens": 2.5}},
        AnswerFacts(10, 4, 5, 0, 15),
    ),
    (
        CHAT_USAGE | {"prompt_tokens_details": {"cached_tokens": [4]}},
        AnswerFacts(10, 0, 5, 2, 15),
    ),
]


@pytest.mark.parametrize(("usage", "facts"), USAGES)
def test_usage_is_read_as_far_as_it_can_be(usage: object, facts: AnswerFacts) -> None:
    """Tokens are read in both of OpenAI's spellings; what is no count is no reason to fail."""
    answer = {"id": "x", "choices": [{"message": {"content": "\u00fc"}}], "usage": usage}
    assert facts == read_answer(json.dumps(answer).encode())
    assert facts == read_answer(json.dumps(answer, ensure_ascii=False, indent=1).encode())


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        (b'{"error": {"message": "x"}}', True),
        (b'{"error": "x", "usage": {"prompt_tokens": 1}}', True),
        (rb'{"error": {"message": "\ud800"}}', True),
        (b'{"error": null}', False),
        (b'{"choices": [{"error": "x"}]}', True),
        (b'{"choices": [{"error": null, "finish_reason": "stop"}]}', False),
        (b'{"choices": [{"finish_reason": "stop"}, {"finish_reason": "error"}]}', True),
        (rb'{"choices": [{"finish_reason": "error", "text": "\ud800"}]}', True),
        (b'{"choices": null}', True),
        (b'{"choices": []}', True),
        (rb'{"choices": [], "x": "\ud800"}', True),
        (rb'{"choices": [{"text": "\ud800"}]}', False),
        (b'{"choices": "odd"}', False),
        (b'{"choices": [1, {"finish_reason": 2}]}', False),
        (b'{"object": "error", "message": "x"}', True),
        (b'{"object": "list", "data": []}', False),
        (rb'{"choices": [{"text": "{\"error\": 1}"}]}', False),
    ],
)
def test_an_error_inside_a_success_is_seen(body: bytes, is_error: bool) -> None:
    """Some servers answer 200 and say in the body that it is an error."""
    facts = read_answer(body)
    assert facts is not None
    assert is_error == facts.is_error


@pytest.mark.parametrize("odd", [rb'"\ud800":1', rb'"x":"\udc00"', b'"a_details":{}'])
def test_what_is_odd_in_usage_hides_no_count(odd: bytes) -> None:
    """Half a character in a key, or nesting, costs none of the tokens."""
    deep = b'{"a_details":' * 400 + b"1" + b"}" * 400
    usage = b'{"prompt_tokens":3,"output_tokens":null,"prompt_tokens_details":%b,%b}' % (deep, odd)
    assert read_answer(b'{"usage":%b}' % usage) == AnswerFacts(3, total_tokens=3)
    assert read_answer(rb'{"x":"\ud800","usage":%b}' % usage) == AnswerFacts(3, total_tokens=3)


WHOLE = b'{"id":"x","choices":[{"message":{"content":"Hi \xc3\xbc"}}],"usage":{"total_tokens":1}}'


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_cut_answer_is_no_answer(size: int) -> None:
    """Wherever a body is cut, it is not taken for a whole one."""
    assert read_answer(WHOLE) is not None
    assert read_answer(WHOLE[:size]) is None


NO_ANSWERS = {
    "HTML": b"<html><body>Bad gateway</body></html>",
    "empty": b"",
    "spaces": b" \n",
    "array": b"[" + WHOLE + b"]",
    "string": b'"x"',
    "number": b"1",
    "null": b"null",
    "two objects": WHOLE + WHOLE,
    "text behind": WHOLE + b"x",
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "UTF-16 without a mark": WHOLE.decode().encode("utf-16-le"),
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "Latin-1": WHOLE.decode().encode("latin-1"),
    "raw surrogate": WHOLE.replace(b"Hi", b"\xed\xa0\x80"),
    "NaN": b'{"x":NaN}',
    "Infinity": b'{"x":-Infinity}',
    "event stream": b"data: " + WHOLE + b"\n\ndata: [DONE]\n\n",
    "very deep": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "raw line break in a string": WHOLE.replace(b"Hi", b"\n"),
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_not_one_object_is_no_answer(body: bytes) -> None:
    """Only one whole JSON object in UTF-8 is an answer."""
    assert read_answer(body) is None


def test_a_line_id_tells_its_line() -> None:
    """The index stands at the end, in eight hexadecimal digits."""
    assert line_id("batch_req_", 49_999) == "batch_req_0000c34f"
    assert int(line_id("batch_req_", 2**32 - 1)[-8:], 16) == 2**32 - 1
