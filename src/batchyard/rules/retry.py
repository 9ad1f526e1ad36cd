"""How long is waited: between the tries of a line, and where an upstream asks its callers to."""

import importlib
import re
from collections.abc import Sequence
from random import Random

__all__ = ["asked_pause_seconds", "backoff_seconds", "may_ask_for_pause"]

# The longest pause that an upstream can ask of a lane.
PAUSE_SECONDS_MAX = 600.0
# Waiting between tries doubles from the first to the second.
BACKOFF_SECONDS = (0.5, 60.0)


def backoff_seconds(tries: int, chance: Random) -> float:
    """How long a line waits before it tries again: exponential, with full jitter's upper half."""
    first, most = BACKOFF_SECONDS
    whole = min(most, first * 2.0 ** min(tries - 1, 16))
    return whole * (0.5 + chance.random() / 2)


def may_ask_for_pause(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether any header is one that `asked_pause_seconds` reads."""
    for name, _ in headers:  # noqa: SIM110 (it runs for every answer)
        if name in _PAUSING:
            return True
    return False


def asked_pause_seconds(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    now: float,
    most: float = PAUSE_SECONDS_MAX,
) -> float | None:
    """How long the upstream asks its callers to wait, up to `most`; None if it does not.

    Reads `retry-after-ms`, `retry-after` as seconds or as an HTTP date (`now` is Unix time), and
    the reset of an `x-ratelimit-remaining-*` that has come to 0. The longest of them counts.
    """
    found = {name: value.strip() for name, value in headers if name in _PAUSING}
    asked: list[float] = []
    if status >= 400:
        asked += [_retry_after(value, now) for name, value in headers if name == b"retry-after"]
        if b"retry-after-ms" in found:
            asked.append(_number(found[b"retry-after-ms"]) / 1000)
    for kind in (b"requests", b"tokens"):
        if found.get(b"x-ratelimit-remaining-" + kind) == b"0":
            asked.append(_span(found.get(b"x-ratelimit-reset-" + kind, b"")))
    asked = [seconds for seconds in asked if seconds >= 0]
    return min(max(asked), most) if asked else None


_PAUSING = frozenset(
    [b"retry-after", b"retry-after-ms"]
    + [
        b"x-ratelimit-" + which + b"-" + kind
        for which in (b"remaining", b"reset")
        for kind in (b"requests", b"tokens")
    ]
)


def _retry_after(value: bytes, now: float) -> float:
    seconds = _number(value)
    if seconds >= 0:
        return seconds
    try:
        return max(0.0, _moment(value.decode("latin-1")) - now)
    except (ValueError, OverflowError):
        return -1.0


def _moment(date: str) -> float:
    # Few upstreams write a date, and what reads one takes long to load.
    read = importlib.import_module("email.utils").parsedate_to_datetime
    return float(read(date).timestamp())


def _number(value: bytes) -> float:
    try:
        number = float(value)
    except ValueError:
        return -1.0
    return number if 0 <= number < float("inf") else -1.0


def _span(value: bytes) -> float:
    """Read a reset as OpenAI writes it, such as `6m0s`, `1s` or `20ms`; -1 if it is none."""
    parts = re.findall(_SPAN_PART, value)
    if not parts or b"".join(number + unit for number, unit in parts) != value:
        return _number(value)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


_SPAN_PART = rb"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|h|m|s)"
_UNIT_SECONDS = {b"h": 3600.0, b"m": 60.0, b"s": 1.0, b"ms": 0.001}
