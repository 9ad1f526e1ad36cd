"""Sums over any number of results, in a memory that does not grow with them."""

from collections import Counter
from random import Random
from typing import Generic, TypeVar

from msgspec import Struct

__all__ = ["Sample", "Spread", "Spreading", "Tally", "Timeline"]

T = TypeVar("T")
_VALUES_MAX = 64
_SAMPLE_MAX = 4_096
_SLOTS_MAX = 360
_SLOTS_SHOWN = 90
# Stretches of time that clocks show, each of whole ones before it; at last ten thousand years.
_STEPS = (1, 2, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400, 604_800, 10**9, 10**12)
_BINS = 24


class Tally:
    """How often each value came; past the most values it keeps, only how many others came."""

    def __init__(self, values_max: int = _VALUES_MAX) -> None:
        self.counts: Counter[str] = Counter()
        self.others = 0
        self._values_max = values_max

    def add(self, value: str) -> None:
        """Count a value."""
        if value in self.counts or len(self.counts) < self._values_max:
            self.counts[value] += 1
        else:
            self.others += 1

    @property
    def total(self) -> int:
        """How many came."""
        return self.counts.total() + self.others


class Sample(Generic[T]):
    """Some of all that was seen, each with the same chance."""

    def __init__(self, size: int, chance: Random) -> None:
        self.kept: list[T] = []
        self.seen = 0
        self._size, self._chance = size, chance

    def place(self) -> int | None:
        """See one: where to keep it, None where it is passed over; so that none is made in vain."""
        self.seen += 1
        if self.seen <= self._size:
            return self.seen - 1
        place = int(self._chance.random() * self.seen)
        return place if place < self._size else None

    def keep(self, place: int, one: T) -> None:
        """Keep what was seen."""
        self.kept[place : place + 1] = [one]

    def add(self, one: T) -> None:
        """See one, and keep it if its chance is good."""
        if (place := self.place()) is not None:
            self.keep(place, one)


class Spread(Struct, frozen=True, kw_only=True):
    """Where numbers lie. Quantiles and bins are those of a sample where there are many.

    `bins` are the shares of equal steps from `low` to `high`; what is above counts in the last.
    """

    count: int
    sampled: int
    mean: float
    least: float
    p50: float
    p90: float
    p99: float
    most: float
    low: float
    high: float
    bins: tuple[float, ...]


class Spreading:
    """Numbers as they come; `spread` says where they lie."""

    def __init__(self, chance: Random) -> None:
        self._sample: Sample[float] = Sample(_SAMPLE_MAX, chance)
        self._sum = 0.0
        self._least, self._most = float("inf"), float("-inf")

    def add(self, number: float) -> None:
        """Take in a number."""
        self._sample.add(number)
        self._sum += number
        if number < self._least:
            self._least = number
        if number > self._most:
            self._most = number

    def spread(self) -> Spread | None:
        """Where the numbers lie; None where there were none."""
        kept = sorted(self._sample.kept)
        if not kept:
            return None
        p50, p90, p99 = (kept[round(part * (len(kept) - 1))] for part in (0.5, 0.9, 0.99))
        low = min(0.0, self._least)
        # A few that took for ever would press all others into one bin.
        high = self._most if self._most <= 2 * p99 or p99 <= low else p99
        high = high if high > low else low + 1
        bins = [0] * _BINS
        for one in kept:
            bins[min(_BINS - 1, int((one - low) / (high - low) * _BINS))] += 1
        return Spread(
            count=self._sample.seen,
            sampled=len(kept),
            mean=self._sum / self._sample.seen,
            least=self._least,
            p50=p50,
            p90=p90,
            p99=p99,
            most=self._most,
            low=low,
            high=high,
            bins=tuple(one / len(kept) for one in bins),
        )


class Timeline:
    """How many came in each stretch of time; stretches grow as the time does."""

    def __init__(self) -> None:
        self._steps = iter(_STEPS)
        self.step = next(self._steps)
        self._slots: Counter[int] = Counter()

    def add(self, second: int) -> None:
        """Count one that came at this second."""
        self._slots[second // self.step] += 1
        while len(self._slots) > _SLOTS_MAX:
            self._widen()

    def slots(self) -> tuple[int, tuple[int, ...]]:
        """When the first stretch begins, and the counts of all, those with none as well."""
        if not self._slots:
            return 0, ()
        while max(self._slots) - min(self._slots) >= _SLOTS_SHOWN:
            self._widen()
        first = min(self._slots)
        counts = tuple(self._slots[one] for one in range(first, max(self._slots) + 1))
        return first * self.step, counts

    def _widen(self) -> None:
        before, self.step = self.step, next(self._steps)
        wider: Counter[int] = Counter()
        for slot, count in self._slots.items():
            wider[slot * before // self.step] += count
        self._slots = wider
