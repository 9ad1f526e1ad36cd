"""Rows of text files: CSV, JSONL, JSON and plain lines, compressed or not, and written again."""

import csv
import gzip
import io
import json
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from batchyard.client.building.rows import as_row
from batchyard.client.examining.reading import lines_of
from batchyard.client.tables.errors import TableError
from batchyard.wire.lines import BOM

__all__ = ["TEXT_KINDS", "Peeked", "plain", "read_text", "widen", "write_csv", "write_jsonl"]

TEXT_KINDS = ("csv", "tsv", "jsonl", "json", "text")
_CHUNK_BYTES = 1 << 20
# csv refuses longer fields unless told otherwise; documents are longer.
_FIELD_CHARACTERS = min(sys.maxsize, 2**31 - 1)
_PLAIN = frozenset({str, int, float, type(None)})

Row = dict[str, Any]


def read_text(source: Path | IO[bytes], kind: str) -> Iterator[Row]:
    """The rows of a file or of a stream of bytes."""
    if not isinstance(source, Path):
        yield from _rows(source, kind, "the stream")
        return
    with _unzipped(source) as file:
        yield from _rows(file, kind, source.name)


def _unzipped(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if zipped else path.open("rb")


class Peeked(io.RawIOBase):
    """A stream of which the beginning was looked at."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._held = stream, b""

    def begins(self) -> bytes:
        """The first byte that is not blank, of whatever stands there, or nothing."""
        while not (told := self._held.removeprefix(BOM).lstrip()):
            chunk = self._stream.read(_CHUNK_BYTES)
            if not chunk:
                break
            self._held += chunk
        return told[:1]

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, into: Any) -> int:
        """Fill a buffer: what was looked at comes first."""
        chunk, self._held = self._held[: len(into)], self._held[len(into) :]
        chunk = chunk or self._stream.read(len(into)) or b""
        into[: len(chunk)] = chunk
        return len(chunk)


def _rows(file: IO[bytes], kind: str, name: str) -> Iterator[Row]:
    if kind in ("csv", "tsv"):
        yield from _csv(file, "\t" if kind == "tsv" else None, name)
    elif kind == "json":
        yield from _json(file, name)
    elif kind == "text":
        yield from ({"text": line.decode()} for _, line in lines_of(_chunks(file)))
    else:
        yield from _jsonl(file, name)


def _csv(file: IO[bytes], delimiter: str | None, name: str) -> Iterator[Row]:
    """Every value as the text that stands there: an id of 007 stays one."""
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
    text = io.TextIOWrapper(io.BufferedReader(cast("Any", file)), "utf-8-sig", newline="")
    try:
        head = text.readline()
        lines = csv.reader(
            chain([head], text), delimiter=delimiter or _delimiter(head), strict=True
        )
        names = next(lines, [])
        _check_names(names, name)
        width = len(names)
        for values in lines:
            if len(values) == width:
                yield dict(zip(names, values, strict=True))
            elif len(values) > width:
                raise TableError(
                    f"{name}, line {lines.line_num}: {len(values)} values for {width} columns."
                )
            elif values:
                yield dict(zip(names, values + [None] * (width - len(values)), strict=True))
    except UnicodeDecodeError:
        raise TableError(f"{name} is not UTF-8; save it as 'CSV UTF-8'.") from None
    except csv.Error as error:
        raise TableError(f"{name}, line {lines.line_num}: {error}.") from None
    finally:
        text.detach().detach()


def _delimiter(head: str) -> str:
    """What stands between the names: a comma, or what spreadsheets write where that is decimal."""
    return max(",;\t", key=head.count)


def _check_names(names: list[str], name: str) -> None:
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise TableError(f"{name} has the column '{twice[0]}' more than once.")


def _jsonl(file: IO[bytes], name: str) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    for number, line in lines_of(_chunks(file)):
        try:
            row = decode(line)
        except msgspec.DecodeError:
            row = _loads(line, f"{name}, line {number}")
        if type(row) is not dict:
            row = _named(row, f"{name}, line {number}")
        yield row


def _json(file: IO[bytes], name: str) -> Iterator[Row]:
    """Of one array; it is held in memory as a whole, as JSONL is not."""
    rows = _loads(file.read(), name)
    if not isinstance(rows, list):
        raise TableError(f"{name} is not an array of objects; write one object per line (JSONL).")
    for number, row in enumerate(rows, 1):
        yield row if type(row) is dict else _named(row, f"{name}, row {number}")


def _loads(text: bytes, place: str) -> Any:
    try:
        # Takes lone surrogates and NaN, which the faster decoder does not.
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{place} is not JSON: {error}.") from None


def _named(row: Any, place: str) -> Row:
    try:
        return dict(as_row(row))
    except TypeError:
        raise TableError(f"{place} is neither an object nor a text.") from None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def write_jsonl(rows: Iterable[Row], out: IO[bytes]) -> int:
    """Write one object per line; returns how many."""
    encode = msgspec.json.Encoder(enc_hook=plain).encode
    count = 0
    for row in rows:
        try:
            line = encode(row)
        except (OverflowError, UnicodeEncodeError):
            line = json.dumps(row, default=plain).encode()
        out.write(line + b"\n")
        count += 1
    return count


def write_csv(rows: Iterable[Row], out: IO[bytes], delimiter: str = ",") -> tuple[int, list[str]]:
    """Write a head and one line per row; lists and objects as JSON, null as nothing.

    Returns how many, and all columns: where a later row had more than the first, the head and the
    lines before it are too short, and `widen` mends them.
    """
    text = io.TextIOWrapper(cast("Any", out), "utf-8", newline="", errors="surrogatepass")
    lines = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    names: list[str] = []
    known: set[str] = set()
    count = 0
    try:
        for row in rows:
            if not row.keys() <= known:
                names += [name for name in row if name not in known]
                known.update(row)
                if not count:
                    lines.writerow(names)
            count += 1
            values = [row.get(name) for name in names]
            if not _PLAIN.issuperset(map(type, values)):
                values = list(map(_cell, values))
            lines.writerow(values)
        text.flush()
    finally:
        text.detach()
    return count, names


def widen(short: Path, out: IO[bytes], names: list[str], delimiter: str = ",") -> None:
    """Copy a CSV file whose head and first lines have fewer columns than the last."""
    text = io.TextIOWrapper(cast("Any", out), "utf-8", newline="", errors="surrogatepass")
    lines = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    lines.writerow(names)
    with _unzipped(short) as raw:
        file = io.TextIOWrapper(raw, "utf-8", newline="", errors="surrogatepass")
        written = csv.reader(file, delimiter=delimiter)
        next(written)
        lines.writerows(one + [""] * (len(names) - len(one)) for one in written)
    text.flush()
    text.detach()


def _cell(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple | set | frozenset):
        return json.dumps(value, ensure_ascii=False, default=plain)
    found = plain(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=plain)


def plain(value: Any) -> Any:
    """A value that JSON has no word for, as one it has."""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
