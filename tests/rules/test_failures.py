"""Failures by their kind: tables of what came, whose it may be, and what is told of it."""

import pytest

from batchyard.rules.excerpts import describe_answer, excerpt, why_no_answer
from batchyard.rules.failures import failure_of_answer, failure_of_fault

JSON = [(b"content-type", b"application/json")]
HTML = [(b"content-type", b"text/html")]


def error(message: str, **more: str) -> bytes:
    """An error as the API writes it."""
    fields = "".join(f',"{name}":"{value}"' for name, value in more.items())
    return f'{{"error":{{"message":"{message}"{fields}}}}}'.encode()


@pytest.mark.parametrize(
    ("status", "body", "blame", "reason"),
    [
        (400, error("no"), "line", ""),
        (400, b"<html>The plain HTTP request was sent to HTTPS port</html>", "open", "misplaced"),
        (413, b"<html>too large</html>", "line", ""),
        (422, error("no"), "line", ""),
        (401, error("bad key"), "open", "refuses"),
        (403, error("flagged"), "open", "refuses"),
        (451, b"", "open", "refuses"),
        (402, b"", "open", "out_of_credit"),
        (404, b"404 page not found", "open", "misplaced"),
        (404, error("Invalid URL (POST /chat/completions)"), "open", "misplaced"),
        (404, error("none such", param="previous_response_id"), "line", ""),
        (404, error("none such", param="model"), "open", "misplaced"),
        (404, error("The model `a` does not exist."), "open", "lacks_model"),
        (404, error("x", code="model_not_found"), "open", "lacks_model"),
        (404, error("model 'a' not found, try pulling it first"), "open", "lacks_model"),
        (405, b"", "open", "misplaced"),
        (410, b"", "open", "misplaced"),
        (501, b"", "open", "misplaced"),
        (301, b"", "open", "misplaced"),
        (308, b"", "open", "misplaced"),
        (408, b"", "open", "down"),
        (409, b"", "open", "down"),
        (425, b"", "open", "down"),
        (429, error("Rate limit reached"), "open", "throttling"),
        (429, error("x", code="insufficient_quota"), "open", "out_of_credit"),
        (429, error("Request too large for m: Limit 5, Requested 9."), "line", ""),
        (429, error("Limit 10,000, Requested 13,000"), "line", ""),
        (429, error("Rate limit reached: Limit 10000, Used 9000, Requested 2000"), "open", "thr"),
        (529, b"", "open", "throttling"),
        (500, error("no"), "open", "down"),
        (503, b"<html>", "open", "down"),
        (524, b"", "open", "down"),
        (200, b"<html>", "open", "down"),
        (200, b'{"error":{"message":"x"}}', "open", "down"),
    ],
)
def test_an_answer_is_judged(status: int, body: bytes, blame: str, reason: str) -> None:
    """What lies in the request is the line's; what may be anybody's is an open question."""
    failure = failure_of_answer(status, JSON, body)
    assert failure.blame == blame
    if reason:
        assert failure.reason.startswith(f"upstream_{reason}")


@pytest.mark.parametrize(
    ("code", "sent", "blame", "tries"),
    [
        ("response_too_large", True, "line", 6),
        ("upstream_unreachable", True, "open", 6),
        ("upstream_unreachable", False, "lane", 6),
        ("request_timeout", True, "open", 3),
        ("request_timeout", False, "lane", 6),
        ("invalid_upstream_response", True, "open", 3),
    ],
)
def test_silence_is_judged(code: str, sent: bool, blame: str, tries: int) -> None:
    """What never left us says nothing of the line."""
    failure = failure_of_fault(code, "x", sent=sent)
    assert (failure.blame, failure.tries) == (blame, tries)


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (502, HTML, b"<html>\r\n<h1>Bad</h1>", "HTTP 502 (text/html): <html> <h1>Bad</h1>"),
        (503, JSON, error("Loading model"), "HTTP 503 (application/json): Loading model"),
        (404, JSON, b'{"detail":"Not Found"}', "HTTP 404 (application/json): Not Found"),
        (308, [(b"location", b"https://a.example/v1")], b"", "HTTP 308 to https://a.example/v1"),
        (500, [], b"", "HTTP 500"),
        (401, [], error("Wrong key: sk-abcdefghijklmnop"), "HTTP 401: Wrong key: sk-***"),
    ],
)
def test_a_failure_is_told(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, told: str
) -> None:
    """The status, the type, where it leads, and the message or how the body begins."""
    assert describe_answer(status, headers, body) == told


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        (HTML, b"<!doctype html><title>Sign in</title>", "it is an HTML page and no JSON: <!doct"),
        ([], b"", "the body is empty"),
        ([], b"  \n", "the body is empty"),
        ([], b'data: {"id":"x"}\n\ndata: [DONE]', "streams though it was not asked to: data: {"),
        ([(b"content-type", b"text/event-stream")], b": ping", "it is an event stream"),
        (JSON, b'{"a": NaN}', "it is no JSON: NaN at byte 6: {"),
        (JSON, '{"é":[1,-Infinity]}'.encode(), "it is no JSON: -Infinity at byte 9"),
        (JSON, b'{"a": 1', "the JSON ends too early, after 7 bytes"),
        (JSON, b'{"a": x}', "it is no JSON from byte 6 on"),
        (JSON, b"[1]", "the JSON is no object"),
        (JSON, b'{"a":"\xff"}', "it is not one JSON object in UTF-8"),
        (JSON, b'{"error":"x"}', "it says an error"),
        (JSON, b"[" * 100_000, "it is not one JSON object in UTF-8"),
    ],
)
def test_what_came_instead_of_an_answer_is_told(
    headers: list[tuple[bytes, bytes]], body: bytes, told: str
) -> None:
    """Status, type, why it is no JSON, and how it begins."""
    assert told in why_no_answer(200, headers, body)


def test_an_excerpt_is_short_and_harms_no_terminal() -> None:
    """Two hundred characters, none of them a control character."""
    shown = excerpt(b"\x1b[2J\x00a\r\nb\x9b\xe2\x80\xa8" + b"x" * 5_000)
    assert len(shown) <= 203
    assert shown.isprintable()
    assert shown.endswith("...")
