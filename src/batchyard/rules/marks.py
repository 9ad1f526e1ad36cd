"""Which custom_ids may stand twice in a file, at eight bytes for each."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable
from struct import pack

__all__ = ["Marks", "Repeats"]

# So that only a part at a time becomes a set, which takes ten times the room.
_PARTS = 64
# So many are not parted: most files have no more.
_FRESH_MAX = 1 << 16
_PARTED_AT_ONCE = 1 << 12


class Repeats:
    """Marks that were seen more than once; `spare` counts their sightings but the first."""

    def __init__(self, parts: "Iterable[array[int]]") -> None:
        self._parts: list[array[int]] = []
        self.spare = 0
        for part in parts:
            times = Counter(part) if _repeats(part) else Counter[int]()
            twice = sorted(mark for mark, count in times.items() if count > 1)
            self._parts.append(array("l", twice))
            self.spare += len(part) - len(times) if times else 0

    def __contains__(self, custom_id: str) -> bool:
        mark = hash(custom_id)
        part = self._parts[mark & (_PARTS - 1)]
        place = bisect_left(part, mark)
        return place < len(part) and part[place] == mark


class Marks:
    """The marks of all custom_ids of a file; different ones have the same mark only by chance."""

    def __init__(self) -> None:
        self._fresh = array("l")
        self._parts: tuple[array[int], ...] = ()

    def add(self, custom_ids: Collection[str]) -> None:
        """See some custom_ids."""
        self._fresh.frombytes(_packed(map(hash, custom_ids), len(custom_ids)))
        if len(self._fresh) > _FRESH_MAX:
            self._part()

    def repeat(self) -> bool:
        """Whether any was seen more than once."""
        if self._parts:
            self._part()
        return any(map(_repeats, self._parts or (self._fresh,)))

    def repeats(self) -> Repeats:
        """Those that were seen more than once."""
        self._part()
        return Repeats(self._parts)

    def _part(self) -> None:
        parts = self._parts = self._parts or tuple(array("l") for _ in range(_PARTS))
        for start in range(0, len(self._fresh), _PARTED_AT_ONCE):
            parted: list[list[int]] = [[] for _ in parts]
            for mark in self._fresh[start : start + _PARTED_AT_ONCE]:
                parted[mark & (_PARTS - 1)].append(mark)
            for part, marks in zip(parts, parted, strict=True):
                part.frombytes(_packed(marks, len(marks)))
        self._fresh = array("l")


def _packed(marks: Iterable[int], count: int) -> bytes:
    """Marks as an array holds them, which takes them so in a tenth of the time."""
    return pack(f"{count}l", *marks)


def _repeats(part: "array[int]") -> bool:
    return len(set(part)) < len(part)
