"""One request or result as people read it: names, indented values, texts with their line breaks."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.examining.reading import Line
from batchyard.wire.lines import split_object

__all__ = ["find", "shown_as_text"]

_URL_CHARACTERS, _LIST_LONG, _LIST_SHOWN = 80, 50, 5


class _Id(Struct, gc=False):
    custom_id: Any = None


class _Number(str):
    """A number as it stands."""

    __slots__ = ()


def find(lines: Iterable[Line], custom_id: str) -> Iterator[Line]:
    """The lines with a custom_id."""
    for number, line in lines:
        if _id_of(line) == custom_id:
            yield number, line


def shown_as_text(line: bytes) -> Iterator[str]:
    """The lines of a text that says what a line of JSON says; much that is no text is shortened.

    What would command a terminal is taken out.
    """
    text = line.decode(errors="replace")
    whole = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    yield from _shown(whole, "")


def _id_of(line: bytes) -> object:
    try:
        return _decode(line).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        return None
    try:
        found: object = json.loads(split_object(line)["custom_id"])
    except (ValueError, KeyError, IndexError, RecursionError):
        return None
    return found


def _shown(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _named(f"{indent}{_plain(str(name))}:", inner, indent + "  ")
    elif isinstance(value, list):
        shown = value[:_LIST_SHOWN] if _is_long(value) else value
        for inner in shown:
            yield from _dashed(inner, indent)
        if len(shown) < len(value):
            yield f"{indent}… {len(value) - len(shown):,} more"
    else:
        yield f"{indent}{_scalar(value)}"


def _named(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield name
        yield from _shown(value, indent)
    elif _has_lines(value):
        yield f"{name} |"
        for one in value.split("\n"):
            yield f"{indent}{_plain(one)}"
    else:
        yield f"{name} {_scalar(value)}"


def _dashed(value: Any, indent: str) -> Iterator[str]:
    """An item of a list: what it holds stands beside its dash."""
    inner = _shown(value, indent + "  ")
    if not isinstance(value, Mapping | list) or not value:
        inner = _named(f"{indent}-", value, indent + "  ")
        yield from inner
        return
    first = next(inner)
    yield f"{indent}- {first[len(indent) + 2 :]}"
    yield from inner


def _scalar(value: Any) -> str:
    if isinstance(value, _Number):
        return str.__str__(value)
    if isinstance(value, str):
        if value.startswith("data:") and len(value) > _URL_CHARACTERS:
            return f"{_plain(value[:40])}… ({len(value):,} characters)"
        return _plain(value) if value else '""'
    return json.dumps(value)


def _has_lines(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number) and "\n" in value


def _is_long(value: list[Any]) -> bool:
    """Whether these are numbers of which nobody reads all."""
    return len(value) > _LIST_LONG and all(isinstance(one, _Number) for one in value)


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() or one == "\t" else "\ufffd" for one in text)


_decode = msgspec.json.Decoder(_Id).decode
