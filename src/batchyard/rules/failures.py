"""Failures by their kind: whose they may be, the line's own or the lane's, and how often to ask."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from batchyard.rules.excerpts import describe_answer, why_no_answer

__all__ = ["Failure", "failure_of_answer", "failure_of_fault"]

# Whose a failure is: certainly the line's own; certainly the lane's, for nothing of the line was
# read; or not to be known from one call.
Blame = Literal["line", "open", "lane"]
_NOT_JSON_MAX = 1 << 20


class Failure(Struct, frozen=True, kw_only=True):
    """What one call without a good answer showed.

    `key` is equal for failures of the same kind. `tries`: after so many the line may be given up;
    `same_tries`: after so few where its answer was the same each time, 0 where that says nothing.
    `reason` is what a lane is said to suffer from that answers nothing else; `detail` tells people
    what came. `strains`: it may tell of too many calls in flight. `lone_seconds`: after so long a
    line that is alone with this failure is given up though nothing else shows that its upstream
    works; None is never.
    """

    key: str
    detail: str
    blame: Blame = "open"
    tries: int = 6
    reason: str = "upstream_down"
    strains: bool = False
    same_tries: int = 0
    lone_seconds: float | None = None
    body: bytes = b""


_REFUSALS = frozenset((401, 403, 407, 451))
# The address, the route or the model is not there: for nobody, or for this request.
_NOWHERE = frozenset((404, 405, 410, 501))
_LATER = frozenset((408, 409, 425))
_LONE_SECONDS = 1_800.0
_THROTTLED_TRIES = 10
_MISPLACED = "upstream_misplaced"
_NO_MODEL = re.compile(rb"(?i)model_not_found|model\b.{0,200}?(does not exist|not found|not exist)")
_NO_CREDIT = re.compile(rb"insufficient_quota|insufficient_balance|billing_hard_limit_reached")
_TOO_LARGE = re.compile(rb"(?i)\brequest too large\b")
_LIMIT = re.compile(rb"(?i)\blimit:? ([0-9,]{1,15}),? requested:? ([0-9,]{1,15})")


def failure_of_answer(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Failure:
    """Judge an answer that is no success, with a good status or without."""
    if 200 <= status < 300:
        detail = why_no_answer(status, headers, body)
        return Failure(
            key="no answer",
            detail=detail,
            tries=3,
            strains=True,
            same_tries=2,
            lone_seconds=0.0,
            body=body,
        )
    key, detail = f"HTTP {status}", describe_answer(status, headers, body)
    if status in _REFUSALS:
        lone = _LONE_SECONDS if _is_object(body) else None
        return Failure(
            key=key,
            detail=detail,
            tries=3,
            reason="upstream_refuses",
            same_tries=3,
            lone_seconds=lone,
            body=body,
        )
    if status == 402 or (status == 429 and _NO_CREDIT.search(body)):
        reason = "upstream_out_of_credit"
        return Failure(key=f"{key} credit", detail=detail, tries=12, reason=reason)
    if status in (429, 529):
        if status == 429 and _names_this_request(body):
            return Failure(key=key, detail=detail, blame="line")
        tries, reason = _THROTTLED_TRIES, "upstream_throttling"
        return Failure(key=key, detail=detail, tries=tries, reason=reason, strains=True)
    if status in _NOWHERE:
        if status == 404 and _names_a_parameter(body):
            return Failure(key=key, detail=detail, blame="line")
        reason = "upstream_lacks_model" if _NO_MODEL.search(body) else _MISPLACED
        return Failure(key=key, detail=detail, tries=3, reason=reason, same_tries=2, body=body)
    if status >= 500:
        lone = _LONE_SECONDS if status == 500 and _is_object(body) else None
        return Failure(
            key=key, detail=detail, strains=True, same_tries=2, lone_seconds=lone, body=body
        )
    if status in _LATER:
        return Failure(key=key, detail=detail, strains=True)
    if status < 400:
        return Failure(key=key, detail=detail, tries=3, reason=_MISPLACED, same_tries=2, body=body)
    if status in (400, 422) and not _is_object(body):
        # A proxy or another kind of server answers so to everybody.
        return Failure(key=key, detail=detail, tries=3, reason=_MISPLACED, same_tries=2, body=body)
    return Failure(key=key, detail=detail, blame="line")


def failure_of_fault(code: str, detail: str, *, sent: bool) -> Failure:
    """Judge a call that brought no answer; what never left us says nothing of the line."""
    if code == "response_too_large":
        return Failure(key=code, detail=detail, blame="line")
    if not sent:
        return Failure(key=code, detail=detail, blame="lane")
    tries = 6 if code == "upstream_unreachable" else 3
    lone = 0.0 if code == "invalid_upstream_response" else None
    return Failure(key=code, detail=detail, tries=tries, strains=True, lone_seconds=lone)


def _names_this_request(body: bytes) -> bool:
    """Whether a 429 is for what this one request asks, so that waiting does not help."""
    if _TOO_LARGE.search(body):
        return True
    found = _LIMIT.search(body)
    if found is None:
        return False
    limit, requested = (int(figure.replace(b",", b"") or b"0") for figure in found.groups())
    return requested > limit


class _Error(Struct):
    param: str | None = None


class _ErrorBody(Struct):
    error: _Error | None = None


def _names_a_parameter(body: bytes) -> bool:
    """Whether an error says which parameter of this request is to blame, other than the model."""
    try:
        error = _error_decoder.decode(body).error
    except (msgspec.DecodeError, RecursionError):
        return False
    return error is not None and error.param not in (None, "", "model")


def _is_object(body: bytes) -> bool:
    """Whether a body is a JSON object, as an error of the API is, and no page of a proxy."""
    if len(body) > _NOT_JSON_MAX:
        return False
    try:
        _object_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


_error_decoder = msgspec.json.Decoder(_ErrorBody)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
