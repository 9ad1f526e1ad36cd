"""Replies that go wrong though their HTTP is right: refusals of every kind, and odd bodies."""

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from itertools import count

import msgspec

from batchyard.sim.faults import BROKEN, RETRY_AFTER_FORMS
from batchyard.sim.messages import Reply
from batchyard.wire.errors import ApiError

__all__ = ["Mischief"]

_Headers = tuple[tuple[bytes, bytes], ...]


class Mischief:
    """Makes the reply that a fault asks for; plain 429s take turns at the forms of Retry-After."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._turns = count()

    def reply(self, fault: str, answer: Callable[[], Reply]) -> Reply:
        """The reply under `fault`; `answer` makes the sound one, of which some break a part."""
        if fault in BROKEN:
            sound = answer() if fault in _NEED_AN_ANSWER else Reply(b"")
            return msgspec.structs.replace(
                sound, fault=fault, is_broken=True, delay_seconds=0.0, tokens=0
            )
        if fault in _ODD:
            return _ODD[fault]
        status, _, form = fault.partition("-")
        headers: _Headers = ()
        if status == "429":
            headers = self._retry_after(form)
        return _refusal(int(status), fault, headers)

    def _retry_after(self, form: str) -> _Headers:
        if form in ("", "mild"):
            forms = RETRY_AFTER_FORMS if not form else _MILD_FORMS
            form = forms[next(self._turns) % len(forms)]
        if form == "date":
            return ((b"retry-after", _http_date(self._wall() + 2)),)
        if form == "past":
            return ((b"retry-after", _http_date(self._wall() - 3600)),)
        return _FORMS[form]


_NEED_AN_ANSWER = frozenset({"reset", "cut", "short", "drip", "chunkcut"})
_MILD_FORMS = tuple(form for form in RETRY_AFTER_FORMS if form != "huge")
_FORMS: dict[str, _Headers] = {
    "seconds": ((b"retry-after", b"1"),),
    "ms": ((b"retry-after-ms", b"200"),),
    "negative": ((b"retry-after", b"-1"),),
    "huge": ((b"retry-after", b"1000000000"),),
    "word": ((b"retry-after", b"abc"),),
    "two": ((b"retry-after", b"1"), (b"retry-after", b"2")),
    "ratelimit": (
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"500ms"),
    ),
    "none": (),
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}
_LOGIN_PAGE = b"<!doctype html>\n<html><body><h1>Simulated: please sign in</h1></body></html>\n"
_ODD = {
    "garbage": Reply(_LOGIN_PAGE, media_type=b"text/html; charset=utf-8", fault="garbage"),
    "empty": Reply(b"", fault="empty"),
    "array": Reply(b'["simulated"]', fault="array"),
    "error200": Reply(
        ApiError(200, "The simulated model failed.", type="server_error").body(), fault="error200"
    ),
    "redirect": Reply(
        b"", 302, headers=((b"location", b"http://127.0.0.1:9/elsewhere"),), fault="redirect"
    ),
}


def _refusal(status: int, fault: str, headers: _Headers) -> Reply:
    phrase = HTTPStatus(status).phrase if status in _KNOWN else "refused"
    default = "server_error" if status >= 500 else "invalid_request_error"
    error = ApiError(
        status,
        f"Simulated fault {fault}: {phrase}.",
        code=_CODES.get(status),
        type=_TYPES.get(status, default),
    )
    return Reply(error.body(), status, headers=headers, fault=fault)


_KNOWN = frozenset(HTTPStatus)


def _http_date(at: float) -> bytes:
    return formatdate(at, usegmt=True).encode()
