"""What is wrong with a table of settings: all of it at once, each with where it stands."""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields

from batchyard.wire.toml_lines import KeyPath

__all__ = ["Mistake", "SettingsCheck"]

T = TypeVar("T", bound=Struct)

_SHOWN_CHARACTERS_MAX = 60
# How much of two names must be the same for one to be a slip for the other.
_NEAR = 0.5


class Mistake(Struct, frozen=True):
    """A setting that cannot be used: where it stands, and what is wrong with it."""

    path: KeyPath
    text: str


@runtime_checkable
class _Judging(Protocol):
    """A table of settings that knows more of its values than their types."""

    def faults(self) -> Iterable[tuple[str, str]]:
        """What is wrong with values of the right types: the name of the setting, and a sentence."""


class SettingsCheck:
    """Reads tables of settings into their classes and gathers `mistakes` on the way.

    What is allowed is what the classes say: types, bounds (`msgspec.Meta`), `__post_init__`, and a
    method `faults` where there is one.
    """

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._outer: Mapping[str, FieldInfo] = {}

    def read(self, cls: type[T], table: Mapping[str, Any], path: KeyPath = ()) -> T | None:
        """The settings of a table; None where any of them cannot be used."""
        before = len(self.mistakes)
        known = {field.encode_name: field for field in fields(cls)}
        if not path:
            self._outer = known
        for name in table.keys() - known.keys():
            self._tell((*path, name), _unknown(name, known, path, self._outer))
        values: dict[str, Any] = {}
        for name, field in known.items():
            if name in table:
                values[field.name] = self._value(field, table[name], (*path, name))
            elif field.required:
                self._tell(path, f"[[{path[0]}]] needs {name}.")
        if len(self.mistakes) > before:
            return None
        try:
            read = cls(**values)
        except ValueError as error:
            self._tell(path, f"{error}.")
            return None
        judging: object = read
        if isinstance(judging, _Judging):
            for name, text in judging.faults():
                self._tell((*path, name), text)
        return read

    def _tell(self, path: KeyPath, text: str) -> None:
        self.mistakes.append(Mistake(path, text))

    def _value(self, field: FieldInfo, value: Any, path: KeyPath) -> Any:
        tables = _tables_of(field)
        if tables is not None:
            return self._tables(tables, value, path)
        try:
            read = msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            is_right = False
            read = None
        else:
            # What is no number passes all bounds.
            is_right = not isinstance(read, float) or math.isfinite(read)
        if not is_right:
            kind = inspect.type_info(field.type)
            self._tell(path, f"{path[-1]}{_shown(value, kind)} must be {_allowed(kind)}.")
        return read

    def _tables(self, cls: type[Struct], value: Any, path: KeyPath) -> tuple[Struct, ...]:
        name = path[-1]
        if isinstance(value, Mapping):
            self._tell(path, f"[{name}] must be [[{name}]], with two brackets: it is a list.")
            # What else is wrong with it is told now, too.
            self.read(cls, value, path)
            return ()
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            self._tell(path, f"{name} must be tables: write [[{name}]] above each.")
            return ()
        read = [self.read(cls, one, (*path, at)) for at, one in enumerate(value)]
        return tuple(one for one in read if one is not None)


def _tables_of(field: FieldInfo) -> type[Struct] | None:
    """The class of the tables that a setting is a list of."""
    kind = inspect.type_info(field.type)
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
        return kind.item_type.cls
    return None


def _unknown(
    name: str, known: Mapping[str, FieldInfo], path: KeyPath, outer: Mapping[str, FieldInfo]
) -> str:
    table = f" in [[{path[0]}]]" if path else ""
    text = f"There is no setting {name!r}{table}."
    # A name of another table that is spelled right is no slip.
    if path and name in outer:
        return f"{text} It stands at the top of the file, above all tables."
    below = {
        table: {one.encode_name for one in fields(tables)}
        for table, field in known.items()
        if (tables := _tables_of(field)) is not None
    }
    for table, names in below.items():
        if name in names:
            return f"{text} It stands below [[{table}]]."
    if near := _near(name, known):
        return f"{text} Did you mean {near}?"
    for table, names in below.items():
        if near := _near(name, names):
            return f"{text} Did you mean {near}, below [[{table}]]?"
    return f"{text} There are: {', '.join(known)}."


def _near(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like this one, if any is much like it."""
    found = get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=_NEAR)
    return found[0] if found else None


def _shown(value: Any, kind: inspect.Type) -> str:
    """A value in words; texts only where a few words are allowed, for others may be secret."""
    if isinstance(value, bool):
        return f" = {str(value).lower()}"
    if isinstance(value, int | float):
        return f" = {value}"[:_SHOWN_CHARACTERS_MAX]
    if isinstance(value, str) and isinstance(kind, inspect.LiteralType):
        return f" = {value[:_SHOWN_CHARACTERS_MAX]!r}"
    return ""


def _allowed(kind: inspect.Type) -> str:
    """What a setting of this type may be, in words."""
    match kind:
        case inspect.UnionType():
            others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            return " or ".join(map(_allowed, others))
        case inspect.LiteralType():
            return " or ".join(f'"{value}"' for value in kind.values)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return noun + _bounds(kind.gt, kind.ge, kind.le)
        case inspect.StrType():
            return 'a text in quotes, such as "x"'
        case inspect.VarTupleType():
            return 'a list of texts, such as ["x", "y"]'
        case inspect.DictType():
            return 'a table of texts, such as { "x" = "y" }'
    raise AssertionError(f"no setting is of type {kind}")


def _bounds(above: float | None, least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    text = f" above {above:,}" if above is not None else ""
    text += f" of at least {least:,}" if least is not None else ""
    return text + (f", at most {most:,}" if most is not None else "")
