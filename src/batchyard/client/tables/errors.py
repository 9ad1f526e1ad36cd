"""What is wrong with a table, and which extra is wanted for it."""

from importlib import import_module
from typing import Any

__all__ = ["MissingExtraError", "TableError", "extra"]

_WANTED = {"duckdb": "data", "pytz": "data"}


class TableError(ValueError):
    """A table cannot be read or written as it is; the text says where and what to do."""


class MissingExtraError(ImportError):
    """A kind of table wants a package that is not installed."""


def extra(module: str) -> Any:
    """A module of this package that wants what only an extra installs."""
    try:
        return import_module(f"batchyard.client.tables.{module}")
    except ModuleNotFoundError as error:
        name = error.name or module
        wanted = f"batchyard[{_WANTED[name]}]" if name in _WANTED else name
        raise MissingExtraError(f"This wants the package {name}: pip install '{wanted}'.") from None
