"""Simulated upstreams on a virtual clock, and a lane as full as its width allows."""

import heapq
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple, Protocol

# What becomes of a line that leaves now, with so many in flight: the seconds until it is answered;
# less than 0, the seconds until it is refused; a pair, the same and for how long none may be sent.
Outcome = float | tuple[float, float]
Law = Callable[[float, int], Outcome]
# How long a line is served that begins now.
Service = Callable[[float], float]


class Limit(Protocol):
    """What decides how many lines may be in flight."""

    @property
    def limit(self) -> int:
        """How many may be in flight now."""

    def answered(self, seconds: float, *, full: bool, now: float) -> None:
        """Count an answer."""

    def troubled(self, now: float) -> None:
        """Count a failure of an upstream that has too much to do."""

    def timed_out(self, now: float) -> None:
        """Count a call that got no answer in time."""


class Moment(NamedTuple):
    """A call came back: when, the width then, how long it took, and what it brought."""

    now: float
    width: int
    seconds: float
    kind: str


def steady(seconds: float, sigma: float = 0.0, seed: int = 7) -> Service:
    """Every line takes as long, or as long on average with a log-normal spread."""
    chance = Random(seed)
    if not sigma:
        return lambda _now: seconds
    return lambda _now: seconds * chance.lognormvariate(-sigma * sigma / 2, sigma)


def mixed(short: float, long: float, share: float, seed: int = 7) -> Service:
    """Short lines, and this share of long ones among them."""
    chance = Random(seed)
    return lambda _now: long if chance.random() < share else short


def slots(
    places: int, service: Service, others: Iterator[tuple[float, float]] | None = None
) -> Law:
    """So many lines are served at once, the others wait in one queue, as llama.cpp's server does.

    `others` are lines of somebody else: when each comes, and how long it is served.
    """
    free = [0.0] * places
    foreign = others or iter(())
    coming = next(foreign, None)

    def law(now: float, _flight: int) -> float:
        nonlocal coming
        while coming is not None and coming[0] <= now:
            begun = max(coming[0], heapq.heappop(free))
            heapq.heappush(free, begun + coming[1])
            coming = next(foreign, None)
        begun = max(now, heapq.heappop(free))
        end = begun + service(begun)
        heapq.heappush(free, end)
        return end - now

    return law


def visitors(
    per_second: float, seconds: float, *, begin: float, end: float, seed: int = 3
) -> Iterator[tuple[float, float]]:
    """Lines of others who come by chance, and do not mind how long the queue is."""
    chance, now = Random(seed), begin
    while now < end:
        now += chance.expovariate(per_second)
        yield now, seconds * chance.uniform(0.8, 1.2)


def batching(places: int, half: int, service: Service) -> Law:
    """A GPU: up to `places` at once, each slowed by all, so that `half` bring half of what can be.

    What is more waits, as in vLLM.
    """
    free = [0.0] * places

    def law(now: float, flight: int) -> float:
        begun = max(now, heapq.heappop(free))
        end = begun + service(begun) * (1 + min(flight, places) / half)
        heapq.heappush(free, end)
        return end - now

    return law


def crowded(law: Law, most: int) -> Law:
    """The same, but more than so many in flight are refused, after 10 ms."""
    return lambda now, flight: law(now, flight) if flight <= most else -0.01


def metered(law: Law, per_second: float, pause_seconds: float = 1.0) -> Law:
    """The same, but so many a second: more are refused, and a pause is asked for."""
    tokens, filled = per_second, 0.0

    def metered_law(now: float, flight: int) -> Outcome:
        nonlocal tokens, filled
        tokens, filled = min(per_second, tokens + (now - filled) * per_second), now
        if tokens < 1:
            return (0.005, pause_seconds)
        tokens -= 1
        return law(now, flight)

    return metered_law


def failing(law: Law, share: float, seed: int = 5) -> Law:
    """The same, but this share of the lines is refused after 10 ms, however many are in flight."""
    chance = Random(seed)
    return lambda now, flight: -0.01 if chance.random() < share else law(now, flight)


def carried(
    width: Limit, law: Law, *, lines: int = 1 << 62, until: float = 1e18, timeout: float = 600.0
) -> Iterator[Moment]:
    """Carry lines, until there are no more or the time is over; what comes back, in order."""
    now = paused = 0.0
    number = 0
    ends = list[tuple[float, int, float, str, float]]()
    while now < until and (lines > 0 or ends):
        while lines > 0 and now >= paused and len(ends) < width.limit:
            lines -= 1
            number += 1
            outcome = law(now, len(ends) + 1)
            pause, kind = 0.0, "answer"
            if isinstance(outcome, tuple):
                outcome, pause = outcome
                kind = "refusal"
            elif outcome < 0:
                outcome, kind = -outcome, "refusal"
            elif outcome > timeout:
                outcome, kind = timeout, "time-out"
            heapq.heappush(ends, (now + outcome, number, now, kind, pause))
        if lines > 0 and now < paused and (not ends or ends[0][0] > paused):
            now = paused
            continue
        full = len(ends) >= width.limit
        now, _, began, kind, pause = heapq.heappop(ends)
        paused = max(paused, now + pause) if pause else paused
        moment = Moment(now, width.limit, now - began, kind)
        if kind == "answer":
            width.answered(now - began, full=full, now=now)
        elif kind == "refusal":
            width.troubled(now)
        else:
            width.timed_out(now)
        yield moment


class Settled(NamedTuple):
    """What a lane does in the long run: answers a second, width at half of the answers."""

    rate: float
    width: int
    seconds: float


def settled(moments: list[Moment], after: float) -> Settled:
    """Rate, median width and mean answer time from a moment on, but for the last of the lines."""
    last = moments[-1].now
    until = after + (last - after) * 0.97
    seen = [one for one in moments if after <= one.now <= until and one.kind == "answer"]
    widths = sorted(one.width for one in seen)
    mean = sum(one.seconds for one in seen) / len(seen)
    return Settled(len(seen) / (until - after), widths[len(widths) // 2], mean)
