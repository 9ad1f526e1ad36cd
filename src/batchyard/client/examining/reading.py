"""Files of requests, read as chunks or as lines, as often as is needed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from batchyard.wire.lines import BOM

__all__ = ["Line", "chunks_of", "lines_of", "placed_lines", "shortened"]

# What the cache of a core holds, for several look at each chunk.
_CHUNK_BYTES = 1 << 18
_QUOTE_CHARACTERS = 96

# Its number among the physical lines from 1, and its text without line break and byte order mark.
Line = tuple[int, bytes]


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def lines_of(chunks: Iterable[bytes]) -> Iterator[Line]:
    """The lines that are not blank."""
    number, held = 0, [b""]
    for chunk in chunks:
        if b"\n" not in chunk:
            held.append(chunk)
            continue
        lines = b"".join((*held, chunk)).split(b"\n")
        held = [lines.pop()]
        for line in lines:
            number += 1
            yield from _one(number, line)
    yield from _one(number + 1, b"".join(held))


def _one(number: int, line: bytes) -> Iterator[Line]:
    if number == 1:
        line = line.removeprefix(BOM)
    line = line.removesuffix(b"\r")
    if line and not line.isspace():
        yield number, line


def shortened(line: bytes) -> str:
    """The beginning of a line, as it can be shown."""
    text = line[: 4 * _QUOTE_CHARACTERS].decode(errors="replace").strip()
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text[:_QUOTE_CHARACTERS])
    return shown + "…" if len(text) > _QUOTE_CHARACTERS else shown


def placed_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each line that is not blank begins, and the line."""
    start = 0
    with path.open("rb") as file:
        for line in file:
            if not line.isspace():
                yield start, line
            start += len(line)
