"""Several files of results become one result for each request, whatever order they are in."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import IO, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.client.examining.reading import chunks_of, lines_of, placed_lines
from batchyard.client.results.answers import id_of
from batchyard.client.results.attempts import Attempt, Attempts, decoded, encoded, rendered
from batchyard.client.results.outcomes import OUTCOMES
from batchyard.client.results.results import Result, Tried, result_of
from batchyard.places.bins import Bins
from batchyard.places.repeats import Repeats

__all__ = ["InputIdsError", "Merged", "unite"]

# Of so many bytes of the files is what is in memory at a time.
_PART_BYTES, _PARTS_MAX = 4 << 20, 2_048
# Where an attempt is from that no file has.
_NOWHERE = -1
_NUMBER = attrgetter("number")
_NO_FILE = "No file has it."


class InputIdsError(ValueError):
    """A file of requests has a line without a custom_id, or one custom_id twice."""


class Merged(Struct, frozen=True, kw_only=True):
    """What a merge has made: requests by outcome, repeated result lines, and those of nobody."""

    requests: int
    outcomes: dict[str, int]
    duplicates: int
    strangers: int


def unite(
    out: IO[bytes],
    paths: Collection[Path],
    asked: Path | None,
    *,
    accept_cut_off: bool,
    beside: Path | None = None,
) -> Merged:
    """Write one line for each request, in the order of `asked`, or in which files name them.

    Of several files, which come in their order, a success stands whatever comes after it, else
    the last counts; of two lines in one file the first counts, or the first success. A line that
    comes again byte for byte, in whatever file, is told once. What does not fit in memory is in
    the folder `beside` meanwhile. Raises InputIdsError for requests that cannot be told apart.
    """
    size = sum(one.stat().st_size for one in (*paths, *((asked,) if asked else ())))
    union = _Union(min(_PARTS_MAX, size // _PART_BYTES + 1), beside)
    try:
        if asked is not None:
            _hold_apart(asked, beside)
            union.ask(asked)
        for path in paths:
            union.add(path, accept_cut_off=accept_cut_off)
        union.settle()
        counts = Counter[str]()
        for result in union.results():
            counts[result.outcome] += 1
            out.write(rendered(result))
    finally:
        union.close()
    return Merged(
        requests=counts.total(),
        outcomes={name: counts[name] for name in OUTCOMES},
        duplicates=union.duplicates,
        strangers=union.strangers,
    )


class _Heard(Struct, frozen=True, array_like=True, gc=False):
    """An attempt, and a mark of its line by which it is known when it comes again."""

    mark: int
    one: Attempt


class _Union:
    """Attempts, put aside by what they name, then settled part by part, then told in order."""

    def __init__(self, parts: int, folder: Path | None) -> None:
        self._parts = parts
        self._named = Bins(folder)
        self._attempts = Attempts(folder)
        self._attempts.batches[_NOWHERE] = None
        self._is_asked = False
        self._lines = self.duplicates = self.strangers = 0

    def close(self) -> None:
        for one in (self._named, self._attempts):
            one.close()

    def ask(self, path: Path) -> None:
        """Take in the requests: as long as no file has one, it is missing."""
        self._is_asked = True
        for number, (_, line) in enumerate(lines_of(chunks_of(path))):
            one = Attempt(number, id_of(line), _NOWHERE, "missing", "no", "missing", _NO_FILE)
            self._put(one, 0)

    def add(self, path: Path, *, accept_cut_off: bool) -> None:
        """Take in a file of results."""
        file = self._attempts.file(path)
        self._attempts.batches[file] = None
        for start, line in placed_lines(path):
            told = result_of(line, accept_cut_off=accept_cut_off)
            if told is None:
                self.strangers += 1
                continue
            one = Attempt(
                self._lines,
                told.custom_id,
                file,
                told.outcome,
                file=file,
                code=told.code,
                message=told.message,
                start=start,
                length=len(line),
                tried=() if _is_plain(told.attempts) else tuple(told.attempts),
            )
            self._put(one, hash(line.strip()))
            self._lines += 1

    def settle(self) -> None:
        """Say of every request, one part after the other, what its attempts are."""
        for part in self._named.numbers:
            numbers: dict[str, int] = {}
            heard: dict[tuple[str, int], Attempt] = {}
            marks: set[tuple[str, int]] = set()
            for each in decoded(self._named.read(part), _decoder):
                one = each.one
                if one.source == _NOWHERE or not self._is_asked:
                    numbers.setdefault(one.custom_id, one.number)
                if one.custom_id not in numbers:
                    self.strangers += 1
                elif (one.custom_id, each.mark) in marks:
                    self.duplicates += 1
                else:
                    marks.add((one.custom_id, each.mark))
                    self._hear(one, heard)
            told = [replace(one, number=numbers[id]) for (id, _), one in heard.items()]
            self._attempts.add(sorted(told, key=_NUMBER))

    def results(self) -> Iterator[Result]:
        """One result for each request, in their order."""
        for line, history in enumerate(self._attempts.all(), 1):
            yield self._attempts.result(history, line)

    def _put(self, one: Attempt, mark: int) -> None:
        self._named.put(hash(one.custom_id) % self._parts, encoded([_Heard(mark, one)]))

    def _hear(self, one: Attempt, heard: dict[tuple[str, int], Attempt]) -> None:
        heard.pop((one.custom_id, _NOWHERE), None)
        before = heard.setdefault((one.custom_id, one.source), one)
        if before is not one:
            self.duplicates += 1
            if before.outcome != "succeeded" and one.outcome == "succeeded":
                heard[one.custom_id, one.source] = one


def _is_plain(attempts: Sequence[Tried]) -> bool:
    """Whether a line tells no more attempts than the one that it is."""
    return len(attempts) == 1 and attempts[0].batch_id is None


def _hold_apart(path: Path, beside: Path | None) -> None:
    """Refuse requests that cannot be told apart, the first that is so."""
    fault, count = 0, 0
    with Repeats(beside) as repeats:
        for line, text in lines_of(chunks_of(path)):
            try:
                count += 1
                repeats.add(count, id_of(text))
            except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
                fault, count = line, count - 1
                break
        ids = (id_of(text) for _, text in lines_of(chunks_of(path)))
        repeat = repeats.first(islice(ids, count))
    if repeat is not None:
        line, _ = next(islice(lines_of(chunks_of(path)), repeat[1] - 1, None))
        _refuse(f"{path}, line {line}: the custom_id '{repeat[2]}' stands twice")
    if fault:
        _refuse(f"{path}, line {fault}: there is no custom_id")


def _refuse(text: str) -> NoReturn:
    raise InputIdsError(f"{text}; see `batchyard check`.")


_decoder = msgspec.json.Decoder(_Heard)
