"""Sets and removes values in every line of a file; all that is not named keeps its bytes."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.building.parameters import check
from batchyard.client.examining.reading import Line
from batchyard.wire.lines import split_object

__all__ = ["Edit", "EditError", "edit", "tree_of", "value_of"]

# What stands at each name: the new value, UNSET to remove it, or what to do further inside.
Tree = dict[str, Union[Raw, UnsetType, "Tree"]]


class EditError(ValueError):
    """An edit that cannot be made; `line` tells where, or is None where it can be made nowhere."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


class Edit(Struct, frozen=True):
    """One value, at names that lead into objects and numbers that lead into lists."""

    path: tuple[str, ...]
    value: Any

    @property
    def place(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)


def value_of(text: str) -> Any:
    """The JSON that a text is; one that is none stands for itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def tree_of(edits: Iterable[Edit]) -> Tree:
    """All edits at once; raises EditError where one cannot be or two exclude each other."""
    tree: Tree = {}
    for one in edits:
        _refuse_elsewhere(one)
        inner = tree
        for name in one.path[:-1]:
            step = inner.setdefault(name, {})
            if not isinstance(step, dict):
                raise EditError(f"{one.place} and what it stands in are both edited.")
            inner = step
        if one.path[-1] in inner:
            raise EditError(f"{one.place} is edited twice.")
        inner[one.path[-1]] = UNSET if one.value is UNSET else Raw(msgspec.json.encode(one.value))
    return tree


def edit(lines: Iterable[Line], edits: Iterable[Edit]) -> Iterator[tuple[bytes, bool]]:
    """Each line as it shall stand, and whether that is new.

    Parameters are checked against the endpoint of the first line that has it, as those of the
    builder are. Raises EditError for a line in which an edit cannot be made.
    """
    edits = tuple(edits)
    tree = tree_of(edits)
    seen: set[str] = set()
    parameters = {
        one.path[1]: one.value
        for one in edits
        if one.path[0] == "body" and len(one.path) == 2 and one.value is not UNSET
    }
    for number, line in lines:
        try:
            parts = _parts_of(line)
            url = _text_of(parts.get("url"))
            if url not in seen:
                seen.add(url)
                check(url, parameters)
            changed = _changed(parts, tree, "")
        except (EditError, IndexError, KeyError, UnicodeDecodeError) as error:
            text = str(error) if isinstance(error, EditError) else "The line is no JSON object."
            raise EditError(text, number) from error
        yield (_encode(parts) if changed else line), changed


def _refuse_elsewhere(one: Edit) -> None:
    if not all(one.path):
        raise EditError(f"'{one.place}' is no path; write one such as body.temperature.")
    if one.path[0] == "custom_id":
        raise EditError("The custom_id cannot be edited: every line needs its own.")
    if one.path[0] not in ("body", "method", "url"):
        raise EditError(f"A request has no '{one.path[0]}'; did you mean body.{one.place}?")
    if one.value is UNSET and len(one.path) == 1:
        raise EditError(f"A request needs its {one.place}.")


def _changed(parts: dict[str, Raw], tree: Tree, place: str) -> bool:
    """Edit an object; whether anything is new."""
    new = False
    for name, wanted in tree.items():
        if wanted is UNSET:
            new |= parts.pop(name, None) is not None
        elif isinstance(wanted, Raw):
            new |= bytes(parts.get(name, b"")) != bytes(wanted)
            parts[name] = wanted
        elif name in parts or _sets(wanted):
            inner, is_new = _inside(parts.get(name, Raw(b"{}")), wanted, f"{place}{name}")
            if is_new:
                parts[name], new = inner, True
    return new


def _inside(raw: Raw, tree: Tree, place: str) -> tuple[Raw, bool]:
    text = bytes(raw)
    if text.startswith(b"["):
        return _in_list(text, tree, place)
    if not text.startswith(b"{"):
        raise EditError(f"{place} has nothing inside.")
    parts = _parts_of(text)
    changed = _changed(parts, tree, f"{place}.")
    return (Raw(_encode(parts)) if changed else raw), changed


def _in_list(text: bytes, tree: Tree, place: str) -> tuple[Raw, bool]:
    """A list is edited as an object whose names are its numbers; nothing is added to it."""
    values = _split_list(text)
    parts = {str(number): value for number, value in enumerate(values)}
    for name in tree:
        if name not in parts:
            raise EditError(f"{place} has no {name}; it is a list of {len(parts)}.")
    changed = _changed(parts, tree, f"{place}.")
    return Raw(_encode(list(parts.values())) if changed else text), changed


def _sets(tree: Tree) -> bool:
    """Whether anything comes to be by it."""
    return any(
        _sets(wanted) if isinstance(wanted, dict) else wanted is not UNSET
        for wanted in tree.values()
    )


def _parts_of(text: bytes) -> dict[str, Raw]:
    try:
        return _decode(text)
    except msgspec.ValidationError:
        raise EditError("The line is no JSON object.") from None
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        try:
            json.loads(text)
            return {name: Raw(value) for name, value in split_object(text).items()}
        except (ValueError, RecursionError):
            raise EditError("The line is no JSON object.") from None


def _split_list(text: bytes) -> list[Raw]:
    try:
        return _decode_list(text)
    except msgspec.DecodeError:
        whole: list[Any] = json.loads(text)
        return [Raw(json.dumps(one).encode()) for one in whole]


def _text_of(raw: Raw | None) -> str:
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.DecodeError:
        return ""


_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode
