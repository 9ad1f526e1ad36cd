"""What the values of a column are, seen one by one, and how they are written as JSON."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["Shape"]

# A struct of more fields is no record but a mapping with keys of its own.
_FIELDS_MAX = 200
_LARGE_BITS = 63
_NUMBERS = {"integer", "decimal", "double"}
_DIGITS_MAX = 38
_SIMPLE: dict[type, str] = {str: "text", bool: "boolean", int: "integer", float: "double"}


class Shape:
    """All that a column has held so far."""

    __slots__ = ("digits", "fields", "inner", "kinds", "scale")

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.fields: dict[str, Shape] = {}
        self.inner: Shape | None = None
        self.scale = self.digits = 0

    def take(self, value: Any) -> Any:
        """Note what a value is; returns what stands for it in JSON."""
        if value is None:
            return None
        kind = _SIMPLE.get(type(value))
        if kind is None:
            return self._take_other(value)
        if kind == "integer" and value.bit_length() > _LARGE_BITS:
            # Parquet has no whole numbers of this size.
            kind = "decimal"
            self._measure(Decimal(value))
        self.kinds.add(kind)
        # JSON has no word for these; the type of the column gives them back.
        return value if kind != "double" or math.isfinite(value) else _infinite(value)

    @property
    def name(self) -> str:
        """DuckDB's name of the type that holds all of it."""
        kinds = self.kinds
        if not kinds:
            return "VARCHAR"
        if kinds <= _NUMBERS:
            return self._number()
        if kinds == {"list"} and self.inner is not None:
            return f"{self.inner.name}[]"
        if kinds == {"struct"} and self._is_record():
            return f"STRUCT({', '.join(map(_field, self.fields.items()))})"
        if kinds == {"date", "timestamp"}:
            return "TIMESTAMP"
        names = {_NAMES.get(one, "VARCHAR") for one in kinds}
        return names.pop() if len(names) == 1 else "VARCHAR"

    def _is_record(self) -> bool:
        """Whether the same fields come again and again, told apart not by case alone."""
        names = {name.lower() for name in self.fields}
        return 0 < len(names) == len(self.fields) <= _FIELDS_MAX

    def _number(self) -> str:
        if "double" in self.kinds:
            return "DOUBLE"
        if "decimal" in self.kinds:
            fits = self.digits + self.scale <= _DIGITS_MAX
            return f"DECIMAL({_DIGITS_MAX}, {self.scale})" if fits else "VARCHAR"
        return "BIGINT"

    def _take_other(self, value: Any) -> Any:
        value = _known(value)
        if value is None or type(value) in _SIMPLE:
            return self.take(value)
        if isinstance(value, Mapping):
            self.kinds.add("struct")
            return {str(name): self._field(str(name)).take(one) for name, one in value.items()}
        if isinstance(value, list):
            self.kinds.add("list")
            return self._take_list(value)
        kind, told = _scalar(value)
        if isinstance(value, Decimal):
            self._measure(value)
        self.kinds.add(kind)
        return told

    def _take_list(self, value: list[Any]) -> list[Any]:
        inner = self.inner = self.inner or Shape()
        if set(map(type, value)) == {float} and math.isfinite(math.fsum(value)):
            # Vectors: the only lists that are long.
            inner.kinds.add("double")
            return value
        return [inner.take(one) for one in value]

    def _field(self, name: str) -> "Shape":
        found = self.fields.get(name)
        if found is None:
            found = self.fields[name] = Shape()
        return found

    def _measure(self, value: Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        if isinstance(exponent, int):
            self.scale = max(self.scale, -exponent)
            self.digits = max(self.digits, len(digits) + exponent)


def _field(named: tuple[str, Shape]) -> str:
    name = named[0].replace('"', '""')
    return f'"{name}" {named[1].name}'


def _known(value: Any) -> Any:
    """A value of another library as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "__dataclass_fields__") or isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value, builtin_types=(datetime, date, time, Decimal, bytes))
    # What stands for nothing in data frames is no number, and not the same as itself.
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _scalar(value: Any) -> tuple[str, Any]:
    if isinstance(value, datetime):
        return "moment" if value.tzinfo else "timestamp", value.isoformat()
    if isinstance(value, date):
        return "date", value.isoformat()
    if isinstance(value, time):
        return "time", value.isoformat()
    if isinstance(value, timedelta):
        # DuckDB takes it for an interval where one is wanted; few read those of Parquet.
        return "text", f"{value // timedelta(microseconds=1)} microseconds"
    if isinstance(value, Decimal):
        return "decimal" if value.is_finite() else "double", str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes", "".join(f"\\x{byte:02X}" for byte in bytes(value))
    return "uuid" if isinstance(value, UUID) else "text", str(value)


def _infinite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_NAMES = {
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "moment": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "time": "TIME",
    "bytes": "BLOB",
    "uuid": "UUID",
}
