"""Which of the distinct requests are asked, and where the answer of each is found afterwards."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Self

import msgspec
from msgspec import Raw, Struct

from batchyard.client.building.packing import pack
from batchyard.client.building.requests import encode
from batchyard.client.results.outcomes import LineOutcome
from batchyard.client.results.results import Result
from batchyard.client.tabular.drafting import NOTHING, Draft, Unit
from batchyard.places.remembered import AT_ONCE

__all__ = ["Answer", "Answers", "Kept", "Source", "settle", "units_in", "vector_body"]

Find = Callable[[Sequence[bytes]], Mapping[bytes, bytes]]
# Whether a body is a good answer to a request.
Accept = Callable[[bytes, bytes], bool]
# Where an answer is from; `same` is that of an earlier row that asked the same.
Source = str


class Kept(Struct, frozen=True, gc=False):
    """The answer of a request that is not asked: where it is from, and its body."""

    unit: int
    source: Source
    body: Raw


class _KeptUnit(Struct, gc=False):
    unit: int


class _Named(Struct, gc=False):
    custom_id: str


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """What became of a distinct request. Tokens are what was spent on it in this campaign."""

    outcome: LineOutcome
    source: Source = "asked"
    body: Any = None
    code: str = ""
    message: str = ""
    model: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


def units_in(path: Path) -> Iterator[bytes]:
    """The lines of a file of requests."""
    with path.open("rb") as file:
        yield from file


def settle(
    draft: Draft, tried: Mapping[int, bytes], find: Find, accept: Accept, *, per_line: int | None
) -> Iterator[bytes]:
    """The lines to ask; on the way what is known already is written to `kept.jsonl`.

    `tried` are bodies that a canary has brought; `find` looks keys up among older answers; what
    `accept` does not take of either is asked. With `per_line`, they are embeddings, and so many
    stand in a line.
    """
    left = _unknown(draft, tried, find, accept)
    if per_line is None:
        yield from left
        return
    bodies = (msgspec.json.decode(msgspec.json.decode(line, type=Unit).body) for line in left)
    first = next(bodies, None)
    if first is None:
        return
    options = {name: one for name, one in first.items() if name not in ("input", "model")}

    def texts() -> Iterator[str]:
        yield first["input"]
        for body in bodies:
            yield body["input"]

    for request in pack(texts(), model=first["model"], per_line=per_line, **options):
        yield encode(request) + b"\n"


def _unknown(
    draft: Draft, tried: Mapping[int, bytes], find: Find, accept: Accept
) -> Iterator[bytes]:
    known: Mapping[bytes, bytes] = {}
    keys: Sequence[bytes] = ()
    with (draft.folder / "kept.jsonl").open("wb") as kept:
        for unit, line in enumerate(units_in(draft.requests_path)):
            if unit % AT_ONCE == 0:
                last = min(unit + AT_ONCE, draft.units)
                keys = draft.keys(unit, last)
                known = find(keys)
            body, source = tried.get(unit), "canary"
            if body is None:
                body, source = known.get(keys[unit % AT_ONCE]), "cache"
            if body is None or not accept(line, body):
                yield line
            else:
                kept.write(msgspec.json.encode(Kept(unit, source, Raw(body))) + b"\n")


class Answers:
    """The answers of distinct requests, of which only the places are held in memory."""

    def __init__(self, folder: Path, results: Path, units: int, *, packed: bool) -> None:
        self._packed = packed
        self._kept, self._results = (folder / "kept.jsonl").open("rb"), results.open("rb")
        self._places = array("q", bytes(8 * units))
        self._index = array("I", bytes(4 * units)) if packed else None
        self._is_kept = bytearray(units)
        self._place()
        self._result = lru_cache(maxsize=4)(self._read_result)

    def answer(self, unit: int) -> Answer:
        """The answer of one distinct request; where there was nothing to ask, that."""
        if unit == NOTHING:
            return _UNASKED
        if self._is_kept[unit]:
            found = _kept(_line_at(self._kept, self._places[unit]))
            body = msgspec.json.decode(found.body)
            return Answer(outcome="succeeded", source=found.source, body=body)
        result, body, count = self._result(self._places[unit])
        told, index = _usage(body), 0
        if self._index is not None and result.succeeded:
            index = self._index[unit]
            body = vector_body(body, index)
        share, rest = divmod(told[0], count)
        return Answer(
            outcome=result.outcome,
            body=body if result.succeeded else None,
            code=result.code,
            message=result.message,
            model=str(body.get("model") or "") if isinstance(body, dict) else "",
            input_tokens=share + (rest if index == 0 else 0),
            cached_tokens=told[1],
            output_tokens=told[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()
        self._results.close()

    def _place(self) -> None:
        """Find out where each answer stands."""
        for start, line in _placed(self._kept):
            unit = _kept_unit(line).unit
            self._places[unit], self._is_kept[unit] = start, 1
        asked = (unit for unit, is_kept in enumerate(self._is_kept) if not is_kept)
        for start, line in _placed(self._results):
            for index in range(_count_of(_named(line).custom_id) if self._packed else 1):
                unit = next(asked)
                self._places[unit] = start
                if self._index is not None:
                    self._index[unit] = index

    def _read_result(self, place: int) -> tuple[Result, Any, int]:
        result = _result(_line_at(self._results, place))
        count = _count_of(result.custom_id) if self._packed else 1
        return result, result.body, count


def vector_body(body: Any, index: int) -> Any:
    """The body that one text of many would have had for itself."""
    vector = next(one for one in body["data"] if one["index"] == index)
    return {**body, "data": [{**vector, "index": 0}], "usage": None}


def _count_of(custom_id: str) -> int:
    return int(custom_id.rpartition("-")[2])


def _usage(body: Any) -> tuple[int, int, int]:
    """Tokens in, those of them that were cached, and out, as chat and as responses tell them."""
    told = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(told, dict):
        return 0, 0, 0
    read = told.get("prompt_tokens", told.get("input_tokens"))
    written = told.get("completion_tokens", told.get("output_tokens"))
    details = told.get("prompt_tokens_details", told.get("input_tokens_details"))
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return int(read or 0), int(cached or 0), int(written or 0)


def _placed(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in file:
        yield start, line
        start += len(line)


def _line_at(file: IO[bytes], place: int) -> bytes:
    file.seek(place)
    return file.readline()


_UNASKED = Answer(outcome="errored", source="none", code="no_text", message="The row has no text.")
_kept = msgspec.json.Decoder(Kept).decode
_kept_unit = msgspec.json.Decoder(_KeptUnit).decode
_named = msgspec.json.Decoder(_Named).decode
_result = msgspec.json.Decoder(Result).decode
