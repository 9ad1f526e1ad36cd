"""What openbatch's values have in common: keyword arguments kept as attributes, all of them."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

__all__ = ["Value"]

_PLAIN = frozenset({str, int, float, bool, type(None)})


class Value:
    """Attributes by name; those needed must be given, others have a default or are extra."""

    _needed: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, **given: Any) -> None:
        for name, value in self._defaults.items():
            self.__dict__[name] = list(value) if type(value) is list else value
        missing = [name for name in self._needed if name not in given]
        if missing:
            raise ValueError(f"{type(self).__name__} needs {', '.join(missing)}.")
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.values() == other.values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.values().items())
        return f"{type(self).__name__}({told})"

    def values(self, *, deep: bool = False) -> dict[str, Any]:
        """The attributes by name."""
        own = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}
        return deepcopy(own) if deep else own

    def model_dump(self, *, exclude_none: bool = False, **_more: Any) -> dict[str, Any]:
        """The attributes as plain values; inside lists and dicts None stays."""
        dumped = {name: _plain(value) for name, value in self.values().items()}
        return {
            name: value
            for name, value in dumped.items()
            if not (value is None and (exclude_none or name not in ("content",)))
        }

    @classmethod
    def model_validate(cls, given: Any) -> Self:
        """One made of a mapping."""
        return given if isinstance(given, cls) else cls(**given)


def _plain(value: Any) -> Any:
    # Nearly all values are just these, and there are millions.
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
