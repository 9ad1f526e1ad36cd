"""Rows on their way into a table: written once, read once, and what their columns are."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from batchyard.client.tables.errors import TableError
from batchyard.client.tables.shapes import Shape

__all__ = ["Spool", "spooled"]

_BUFFER_BYTES = 1 << 20
# Their kind is known by their type alone.
_SETTLED = (str, bool, type(None))

Row = dict[str, Any]
Signature = tuple[Any, ...]


@dataclass
class Spool:
    """A file of JSON lines whose keys are `c0`, `c1`, ... for the columns in `shapes`."""

    path: Path
    rows: int
    longest: int
    shapes: dict[str, Shape]


@contextmanager
def spooled(rows: Iterable[Row], beside: Path) -> Iterator[Spool]:
    """Write rows to a file beside another, for as long as the block takes."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    path = beside.with_name(f".{beside.name}.{os.getpid()}.spool")
    try:
        with path.open("wb", buffering=_BUFFER_BYTES) as out:
            spool = Spool(path, 0, 0, {})
            _fill(spool, rows, out)
        _check_names(spool)
        yield spool
    finally:
        path.unlink(missing_ok=True)


def _fill(spool: Spool, rows: Iterable[Row], out: IO[bytes]) -> None:
    encode = msgspec.json.Encoder().encode
    known: dict[Signature, tuple[list[str], list[int]]] = {}
    for row in rows:
        values = list(row.values())
        signature = (*row, *map(type, values))
        plan = known.get(signature)
        if plan is None:
            plan = known[signature] = _plan(spool, row)
        keys, looked_at = plan
        if looked_at:
            shapes = [spool.shapes[name] for name in row]
            for index in looked_at:
                values[index] = shapes[index].take(values[index])
        line = _line(dict(zip(keys, values, strict=True)), encode)
        spool.rows += 1
        spool.longest = max(spool.longest, len(line))
        out.write(line + b"\n")


def _plan(spool: Spool, row: Row) -> tuple[list[str], list[int]]:
    """The keys of rows of this kind, and which of their values have to be looked at each time."""
    for name, value in row.items():
        shape = spool.shapes.setdefault(str(name), Shape())
        if type(value) in _SETTLED:
            shape.take(value)
    places = {name: f"c{index}" for index, name in enumerate(spool.shapes)}
    looked_at = [index for index, value in enumerate(row.values()) if type(value) not in _SETTLED]
    return [places[str(name)] for name in row], looked_at


def _line(row: Row, encode: Any) -> bytes:
    try:
        return bytes(encode(row))
    except (OverflowError, UnicodeEncodeError):
        # A lone surrogate is no character: a table cannot hold it.
        text = json.dumps(row, ensure_ascii=False)
        return text.encode(errors="replace")


def _check_names(spool: Spool) -> None:
    """Databases do not tell upper case from lower."""
    seen: dict[str, str] = {}
    for name in spool.shapes:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise TableError(
                f"The columns '{other}' and '{name}' differ in case alone: rename one."
            )
