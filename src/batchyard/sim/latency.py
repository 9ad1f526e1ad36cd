"""How long an answer takes: at once, always the same, scattered, or as fast as tokens flow."""

import heapq
import math
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from batchyard.sim.chance import fraction, mix

__all__ = ["Latency", "Pace"]

# Half of all log-normal answers come before 0.73 of the mean, one in a hundred after 4.7 of it.
_SPREAD = 0.8


class Latency(Struct, frozen=True):
    """How answers are delayed; `amount` is seconds, or tokens per second with `tokens`.

    `slots` is how many answers are written at a time; without a number there is no limit.
    """

    kind: Literal["instant", "fixed", "lognormal", "tokens"] = "instant"
    amount: float = 0.0
    slots: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Latency":
        """Read `instant`, `fixed:0.05`, `lognormal:0.5`, `tokens:80` or `tokens:80:16`."""
        kind, *numbers = text.strip().split(":")
        if kind == "instant" and not numbers:
            return cls()
        if kind == "tokens" and len(numbers) in (1, 2):
            slots = _slots(numbers[1], text) if len(numbers) == 2 else None
            return cls("tokens", _positive(numbers[0], text), slots)
        if len(numbers) == 1:
            if kind == "fixed":
                return cls("fixed", _positive(numbers[0], text))
            if kind == "lognormal":
                return cls("lognormal", _positive(numbers[0], text))
        raise _refused(text)


class Pace:
    """A latency at work; with slots it remembers when each of them will be free.

    A client that leaves does not free its slot: what it asked for is written all the same.
    """

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._free_at = [0.0] * (latency.slots or 0)

    def delay_seconds(self, tokens: int, number: int, now: float) -> float:
        """How long from `now` (steady time) the answer to request `number` takes."""
        latency = self._latency
        if latency.kind == "instant":
            return 0.0
        if latency.kind == "fixed":
            return latency.amount
        if latency.kind == "lognormal":
            return _lognormal(latency.amount, fraction(mix(2, number)))
        seconds = max(tokens, 1) / latency.amount
        if not self._free_at:
            return seconds
        end = max(now, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, end)
        return end - now


def _lognormal(mean: float, share: float) -> float:
    deviation = NormalDist().inv_cdf(max(share, 1e-12))
    return mean * math.exp(_SPREAD * deviation - _SPREAD**2 / 2)


def _positive(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _refused(whole) from None
    if not 0 < number < math.inf:
        raise _refused(whole)
    return number


def _slots(text: str, whole: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise _refused(whole)
    return int(text)


def _refused(text: str) -> ValueError:
    return ValueError(
        f"no latency: '{text}'; write instant, fixed:SECONDS, lognormal:MEAN_SECONDS or "
        "tokens:PER_SECOND[:SLOTS], with numbers above 0"
    )
