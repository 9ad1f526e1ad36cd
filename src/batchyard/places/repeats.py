"""Finds what stands twice among any number of texts, in little memory."""

from array import array
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from pathlib import Path
from types import TracebackType
from typing import Self

from batchyard.places.bins import Bins

__all__ = ["Repeats"]

_BINS = 128
# Repeats that are looked at; more than one of them is by chance about never.
_DOUBTS = 16


class Repeats:
    """Sixteen bytes for each text, which are in `folder` once there are many of them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._bins = Bins(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._bins.close()

    def add(self, number: int, text: str) -> None:
        """Take in a text; the first has the number 1."""
        mark = hash(text)
        self._bins.put(mark % _BINS, array("q", (mark, number)).tobytes())

    def first(self, texts: Iterable[str]) -> tuple[int, int, str] | None:
        """The number of a text, of its first repeat, and itself; None where all differ.

        `texts` are those that were added, once more: two of them may look alike by chance.
        """
        marks = {mark for _, mark in nsmallest(_DOUBTS, self._alike())}
        seen: dict[str, int] = {}
        for number, text in enumerate(texts if marks else (), 1):
            if hash(text) in marks and seen.setdefault(text, number) != number:
                return seen[text], number, text
        return None

    def _alike(self) -> Iterator[tuple[int, int]]:
        """Number and mark of each text whose mark was there before."""
        for number in self._bins.numbers:
            pairs = array("q", self._bins.read(number))
            seen: set[int] = set()
            for mark, text in zip(pairs[::2], pairs[1::2], strict=True):
                if mark in seen:
                    yield text, mark
                seen.add(mark)
