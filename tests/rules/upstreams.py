"""Upstreams by simple laws, and a lane that keeps them as full as its width allows."""

import heapq
from collections.abc import Callable, Iterator
from random import Random

from batchyard.rules.width import Width

# What a line takes that leaves now, with so many in flight; None is a failure after 10 ms.
Law = Callable[[float, int], float | None]


def fixed(seconds: float) -> Law:
    """Every answer takes as long, however many are in flight."""
    return lambda _now, _flight: seconds


def slots(places: int, seconds: Callable[[float], float]) -> Law:
    """So many are served at once, each for `seconds` of when it begins; the others wait."""
    free = [0.0] * places

    def law(now: float, _flight: int) -> float:
        begun = max(now, heapq.heappop(free))
        end = begun + seconds(begun)
        heapq.heappush(free, end)
        return end - now

    return law


def batched(seconds: float, half: int) -> Law:
    """As GPUs do: each in flight slows all; `half` of them get half of what is possible."""
    return lambda _now, flight: seconds * (1 + flight / half)


def spread(law: Law, sigma: float) -> Law:
    """The same with times that are spread log-normally about their mean."""
    chance = Random(7)

    def spread_law(now: float, flight: int) -> float | None:
        seconds = law(now, flight)
        return seconds and seconds * chance.lognormvariate(-sigma * sigma / 2, sigma)

    return spread_law


def limited(law: Law, most: int) -> Law:
    """The same, but more than so many in flight are refused."""
    return lambda now, flight: law(now, flight) if flight <= most else None


def carried(width: Width, law: Law, lines: int) -> Iterator[tuple[float, bool]]:
    """Carry so many lines; when each came back, and whether with an answer."""
    now, ends = 0.0, list[tuple[float, float, bool]]()
    while lines or ends:
        while lines and len(ends) < width.limit:
            lines -= 1
            seconds = law(now, len(ends) + 1)
            end = now + (0.01 if seconds is None else seconds)
            heapq.heappush(ends, (end, now, seconds is not None))
        full = len(ends) >= width.limit
        now, began, is_answered = heapq.heappop(ends)
        if is_answered:
            width.answered(now - began, full=full, now=0.0)
        else:
            width.troubled(0.0)
        yield now, is_answered
