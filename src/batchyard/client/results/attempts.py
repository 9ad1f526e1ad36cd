"""The attempts of every request, put aside on the disk and read back in the order of the input."""

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from batchyard.client.results.outcomes import Again, LineOutcome, raw_parts_of
from batchyard.client.results.results import Result, Tried
from batchyard.places.bins import Bins

__all__ = ["Attempt", "Attempts", "History", "decoded", "encoded", "rendered"]

T = TypeVar("T")
# So many requests are in memory at a time.
_TOGETHER = 1 << 14
_OPEN_MAX = 64
_NULL = Raw(b"null")


class Attempt(Struct, frozen=True, array_like=True, gc=False):
    """How one request ended in one batch or file.

    `number` counts requests of the input from 0. `place` is where the result line stands, `asked`
    where the request stands as it was asked. A line that tells attempts of its own, as
    those of campaigns do, has them in `tried`.
    """

    number: int
    custom_id: str
    source: int
    outcome: LineOutcome
    again: Again = "no"
    code: str = ""
    message: str = ""
    file: int = -1
    start: int = 0
    length: int = 0
    asked_file: int = -1
    asked_start: int = 0
    asked_length: int = 0
    tried: tuple[Tried, ...] = ()


# The attempt that counts, and those before it; a success stands whatever comes after it.
History = tuple[Attempt, list[Attempt]]


class Attempts:
    """All attempts; those of a few thousand requests are in memory at a time, whatever the rest.

    `batches` tells the batch of each source.
    """

    def __init__(self, folder: Path | None) -> None:
        self.batches: dict[int, str | None] = {}
        self._bins = Bins(folder)
        self._unsettled: set[int] = set()
        self._files: list[Path] = []
        self._opened = _Opened()
        # The file that was read last; most often the next line is in the same.
        self._at = self._file = -1

    def close(self) -> None:
        """Forget them, and close what was opened to be read."""
        self._bins.close()
        self._opened.close()

    def file(self, path: Path) -> int:
        """The number that a file has in places."""
        self._files.append(path)
        return len(self._files) - 1

    def add(self, many: Iterable[Attempt]) -> None:
        """Take in attempts; those of a request come in their order."""
        for number, some in groupby(many, lambda one: one.number // _TOGETHER):
            together = [*some]
            self._bins.put(number, encoded(together))
            if any(one.again != "no" for one in together):
                self._unsettled.add(number)

    def all(self) -> Iterator[History]:
        """What became of every request that has an attempt, in the order of the input."""
        for number in self._bins.numbers:
            yield from self._histories(number)

    def unsettled(self) -> Iterator[History]:
        """What became of those that are worth asking again."""
        for number in sorted(self._unsettled):
            yield from (one for one in self._histories(number) if one[0].again != "no")

    def of(self, numbers: Iterable[int]) -> Iterator[History]:
        """What became of some, which are given in order."""
        for number, some in groupby(numbers, lambda one: one // _TOGETHER):
            wanted = set(some)
            yield from (one for one in self._histories(number) if one[0].number in wanted)

    def result(self, history: History, line: int) -> Result:
        """A history as it is told in results."""
        one, earlier = history
        if one.file < 0:
            told = encoded([{"code": one.code, "message": one.message}])
            response, error = _NULL, Raw(told.rstrip())
        else:
            _, response, error = raw_parts_of(self.line(one))
        attempts = self._told(one)
        if earlier:
            attempts = [each for some in earlier for each in self._told(some)] + attempts
        return Result(line, one.custom_id, one.outcome, response, error, attempts)

    def line(self, one: Attempt) -> bytes:
        """The result line of an attempt that has one."""
        return self._text(one.file, one.start, one.length)

    def asked(self, one: Attempt) -> bytes:
        """The request, as it was asked."""
        return self._text(one.asked_file, one.asked_start, one.asked_length)

    def _text(self, file: int, start: int, length: int) -> bytes:
        if file != self._at:
            self._file = self._opened.file(self._files[file]).fileno()
            self._at = file
        return os.pread(self._file, length, start)

    def _histories(self, number: int) -> Iterator[History]:
        newest: dict[int, Attempt] = {}
        earlier: dict[int, list[Attempt]] = {}
        for one in decoded(self._bins.read(number), _decoder):
            before = newest.get(one.number)
            if before is None:
                newest[one.number] = one
            elif before.outcome == "succeeded":
                earlier.setdefault(one.number, []).append(one)
            else:
                earlier.setdefault(one.number, []).append(before)
                newest[one.number] = one
        for request in sorted(newest):
            yield newest[request], earlier.get(request, [])

    def _told(self, one: Attempt) -> list[Tried]:
        if one.tried:
            return [*one.tried]
        return [Tried(self.batches[one.source], one.outcome, one.code, one.message)]


def rendered(result: Result) -> bytes:
    """The line of a result; response and error pass as they are."""
    try:
        return _encode(result) + b"\n"
    except UnicodeEncodeError:
        return b'{"line":%d,"custom_id":%b,"outcome":"%b","response":%b,"error":%b,%b\n' % (
            result.line,
            json.dumps(result.custom_id).encode(),
            result.outcome.encode(),
            bytes(result.response),
            bytes(result.error),
            encoded([{"attempts": result.attempts}]).strip()[1:],
        )


def encoded(values: list[Any]) -> bytes:
    """Lines of JSON."""
    # Of what is no list, msgspec 0.22 would never let go.
    try:
        return _encode_lines(values)
    except UnicodeEncodeError:
        # Lone surrogates: allowed by JSON, refused by the encoder.
        lines = [json.dumps(msgspec.to_builtins(value)).encode() + b"\n" for value in values]
        return b"".join(lines)


def decoded(lines: bytes, decoder: msgspec.json.Decoder[T]) -> list[T]:
    """What stands in lines that were encoded."""
    try:
        return decoder.decode_lines(lines)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return [msgspec.convert(json.loads(one), decoder.type) for one in lines.splitlines()]


class _Opened:
    """Files to read from; not too many of them are open at once."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, IO[bytes]] = OrderedDict()

    def file(self, path: Path) -> IO[bytes]:
        """A file, open until some others were asked for."""
        file = self._files.get(path)
        if file is None:
            if len(self._files) >= _OPEN_MAX:
                self._files.popitem(last=False)[1].close()
            file = self._files[path] = path.open("rb", buffering=0)
        self._files.move_to_end(path)
        return file

    def close(self) -> None:
        """Close all of them."""
        while self._files:
            self._files.popitem()[1].close()


_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_decoder = msgspec.json.Decoder(Attempt)
