"""Rows become requests: each row is kept as it came, each distinct request is asked once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Raw, Struct

from batchyard.client.building.parameters import ParameterError
from batchyard.client.building.requests import Request, custom_id_of, encode
from batchyard.client.building.rows import Row, as_row, key_of
from batchyard.client.building.writing import DuplicateIdError, Seen
from batchyard.client.tables import TableError
from batchyard.client.tables.textfiles import plain
from batchyard.client.tabular.distinct import Distinct

__all__ = [
    "NOTHING",
    "Draft",
    "Drafted",
    "Key",
    "Unit",
    "draft",
    "key_of_request",
    "keys_in",
    "rows_in",
]

Key = str | list[str] | tuple[str, ...] | Callable[[Row], Any] | None
KEY_BYTES = 16
_LOOKED_AT = 1_000
_FAULTS = (KeyError, TypeError, ValueError)
_TYPES = {date: "DATE", datetime: "TIMESTAMP", time: "TIME"}
# What a row without a request has in its place.
NOTHING = -1


class Drafted(Struct, frozen=True, array_like=True, gc=False):
    """A row: its custom_id, which distinct request answers it, and whether it is the first such.

    A row that has nothing to ask has the request NOTHING.
    """

    custom_id: str
    unit: int
    first: bool
    row: Raw


class Unit(Struct, frozen=True, gc=False):
    """A distinct request, under the custom_id of the first row that asks it."""

    custom_id: str
    method: str
    url: str
    body: Raw


class Draft(Struct, frozen=True, kw_only=True):
    """What rows have become: files in a folder, of rows, distinct requests, and their keys."""

    folder: Path
    rows: int
    units: int
    identity: str
    types: dict[str, str]

    @property
    def requests_path(self) -> Path:
        """The distinct requests, a line for each."""
        return self.folder / "requests.jsonl"

    def keys(self, first: int, last: int) -> list[bytes]:
        """The keys of some distinct requests, up to the last but without it."""
        return keys_in(self.folder, first, last)


def draft(
    rows: Iterable[Any],
    ask: Callable[[Row], Request | None],
    folder: Path,
    *,
    custom_id: Key,
    base_url: str,
    dedupe: bool,
) -> Draft:
    """Write `rows.jsonl` and `requests.jsonl` into a folder, in one pass over the rows.

    Rows for which `ask` gives None have nothing to ask. Raises DuplicateIdError where two rows
    have the same custom_id, TableError for a row of which nothing can be asked.
    """
    identity = hashlib.sha256(base_url.encode())
    seen, count, units = Seen(), 0, 0
    kinds = _Kinds()
    with (
        (folder / "rows.jsonl").open("wb") as kept,
        (folder / "requests.jsonl").open("wb") as out,
        (folder / "keys").open("wb") as keys,
        Distinct(folder) as known,
    ):
        for count, given in enumerate(rows, 1):
            row = as_row(given)
            kinds.see(row)
            try:
                id = _id_of(row, custom_id, count)
                if custom_id is not None and not seen.add(id):
                    _refuse_if_there(kept, folder, id, count)
                request = ask(row)
                unit, first = NOTHING, False
                if request is not None:
                    key = key_of_request(base_url, request.url, request.body)
                    before = known.unit_of(key) if dedupe else None
                    first, unit = before is None, units if before is None else before
                if request is not None and first:
                    known.add(key, unit)
                    keys.write(key)
                    units += 1
                    line = encode(Request(custom_id=id, url=request.url, body=request.body)) + b"\n"
                    out.write(line)
                    identity.update(line)
                line = _encode((id, unit, first, row)) + b"\n"
            except (ParameterError, DuplicateIdError):
                # What is asked of all rows is no fault of this one.
                raise
            except _FAULTS as error:
                raise _of_row(error, count) from error
            kept.write(line)
            identity.update(line)
    whole = identity.hexdigest()
    return Draft(folder=folder, rows=count, units=units, identity=whole, types=kinds.types)


def keys_in(folder: Path, first: int, last: int) -> list[bytes]:
    """The keys of some distinct requests of a campaign."""
    with (folder / "keys").open("rb") as file:
        file.seek(first * KEY_BYTES)
        text = file.read((last - first) * KEY_BYTES)
    return [text[place : place + KEY_BYTES] for place in range(0, len(text), KEY_BYTES)]


def rows_in(folder: Path) -> Iterator[Drafted]:
    """The rows as they were drafted, in their order."""
    decode = msgspec.json.Decoder(Drafted).decode
    with (folder / "rows.jsonl").open("rb") as file:
        for line in file:
            yield decode(line)


def key_of_request(base_url: str, url: str, body: Any) -> bytes:
    """What is the same for the same request to the same server, and for no other."""
    whole = hashlib.blake2b(f"{base_url}\n{url}\n".encode(), digest_size=KEY_BYTES)
    whole.update(_sorted(body))
    return whole.digest()


class _Kinds:
    """Columns of dates and times, which JSON tells as texts, so that a table has them again."""

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        self._others: set[str] = set()
        self._seen = 0

    def see(self, row: Row) -> None:
        """Take in a row; a column that has anything else too is none of them."""
        self._seen += 1
        for name in row if self._seen <= _LOOKED_AT else list(self.types):
            value = row.get(name)
            if value is None or name in self._others:
                continue
            kind = _TYPES.get(type(value), "")
            if kind == "TIMESTAMP" and value.tzinfo is not None:
                kind = "TIMESTAMP WITH TIME ZONE"
            if not kind or self.types.setdefault(name, kind) != kind:
                self._others.add(name)
                self.types.pop(name, None)


def _id_of(row: Row, key: Key, number: int) -> str:
    if key is None:
        return f"row-{number:06d}"
    try:
        return custom_id_of(key(row) if callable(key) else key_of(row, key))
    except ParameterError as error:
        raise ValueError(str(error)) from error


def _of_row(error: Exception, count: int) -> TableError:
    """What is wrong with a row, and with which."""
    # A KeyError shows its text in quotes.
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, UnicodeEncodeError):
        told = (
            f"it has {error.object[error.start]!r}, which is no whole character; mend it with "
            "text.encode(errors='replace').decode()."
        )
    return TableError(f"Row {count}: {told}")


def _refuse_if_there(kept: IO[bytes], folder: Path, id: str, count: int) -> None:
    """DuplicateIdError where a row has this very custom_id; called only when a mark says so."""
    kept.flush()
    for number, one in enumerate(rows_in(folder), 1):
        if one.custom_id == id:
            raise DuplicateIdError(
                f"Row {count} has the custom_id '{id}' of row {number}. Name more columns with "
                "id=[...] that together are different for each row, or leave id out."
            )


_encode = msgspec.json.Encoder(enc_hook=plain).encode
_sorted = msgspec.json.Encoder(enc_hook=plain, order="sorted").encode
