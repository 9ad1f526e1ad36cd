"""Reads recorded lines from the blobs: by spans that end at line ends, a chunk at a time."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.store.results import Kept
from batchyard.wire.outcomes import OUTCOMES, read_outcome

__all__ = [
    "PIECE_BYTES",
    "Span",
    "Wanted",
    "cursor_of",
    "cut",
    "lines",
    "offsets_of",
    "wanted_lines",
]

_CURSOR = re.compile(r"at((?:_[0-9a-f]{12}\.[0-9a-f]{1,15})*)")
_KEY_DIGITS = 12
# So much of a download is read at a time: it is held while its reader is slow.
PIECE_BYTES = 64 << 10


class Span(Struct, frozen=True):
    """The whole lines of a blob from `start` up to `end`."""

    kept: Kept
    start: int
    end: int


class Wanted(Struct, frozen=True):
    """Which lines are asked for; empty sets ask for all."""

    statuses: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()

    def skips(self, kept: Kept) -> bool:
        """Whether no line of a blob can be wanted; output files hold successes and no others."""
        if kept.kind == "output":
            return bool(self.codes) or bool(self.statuses and "succeeded" not in self.statuses)
        return self.statuses == {"succeeded"}

    def reads(self, kept: Kept) -> bool:
        """Whether lines must be parsed to know."""
        others = set(OUTCOMES[1:])
        return kept.kind == "error" and bool(
            self.codes or (self.statuses and not others <= self.statuses)
        )

    def takes(self, line: bytes) -> bool:
        """Whether a line of an error file is wanted."""
        found = read_outcome(line)
        return not (self.statuses and found.status not in self.statuses) and not (
            self.codes and self.codes.isdisjoint(found.codes)
        )


def cursor_of(reached: Mapping[str, int]) -> str:
    """How far each blob has been read, by name, as a text that clients give back."""
    return "at" + "".join(f"_{_key(blob)}.{offset:x}" for blob, offset in reached.items() if offset)


def offsets_of(cursor: str, kept: Sequence[Kept], blobs: Blobs) -> dict[str, int] | None:
    """How far each of these blobs has been read; None when no server said this."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        return None
    said: dict[str, int] = {}
    for entry in found[1].split("_")[1:]:
        key, _, offset = entry.partition(".")
        said[key] = int(offset, 16)
    reached: dict[str, int] = {}
    for one in kept:
        offset_bytes = said.pop(_key(one.blob), 0)
        if offset_bytes > one.size_bytes or not _is_line_start(blobs, one.blob, offset_bytes):
            return None
        reached[one.blob] = offset_bytes
    return reached if not said else None


def lines(blobs: Blobs, span: Span) -> Iterator[list[bytes]]:
    """The lines of a span, each with its line end, as many at once as came in one read."""
    length = span.end - span.start
    begun: list[bytes] = []
    for chunk in blobs.chunks(
        span.kept.blob, start=span.start, length=length, piece_bytes=PIECE_BYTES
    ):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield _split(b"".join((*begun, chunk[:end])))
            begun.clear()
        if end < len(chunk):
            begun.append(chunk[end:])
    if begun:
        raise BlobCorruptError(f"blob {span.kept.blob} has no line end at {span.end}")


def wanted_lines(blobs: Blobs, span: Span, wanted: Wanted) -> Iterator[list[bytes]]:
    """The lines of a span that are asked for."""
    reads = wanted.reads(span.kept)
    for some in lines(blobs, span):
        yield [line for line in some if wanted.takes(line)] if reads else some


def cut(blobs: Blobs, spans: Iterable[Span], wanted: Wanted, most: int) -> list[Span]:
    """The spans up to where `most` wanted lines have come."""
    kept: list[Span] = []
    for span in spans:
        if not most:
            break
        end = span.start
        reads = wanted.reads(span.kept)
        for some in lines(blobs, span):
            for line in some:
                end += len(line)
                most -= not reads or wanted.takes(line)
                if not most:
                    break
            if not most:
                break
        kept.append(Span(span.kept, span.start, end))
    return kept


def _split(text: bytes) -> list[bytes]:
    """The lines of a text that ends with one, each with its line end."""
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def _key(blob: str) -> str:
    return hashlib.sha256(blob.encode()).hexdigest()[:_KEY_DIGITS]


def _is_line_start(blobs: Blobs, blob: str, offset: int) -> bool:
    return offset == 0 or blobs.read(blob, offset - 1, 1) == b"\n"
