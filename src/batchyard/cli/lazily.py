"""Imports that a verb needs for its work only, so that `--help` comes at once."""

import builtins
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["lazily"]


class _Module:
    """Stands for a module, which is imported when something is asked of it."""

    def __init__(self, name: str) -> None:
        self._own_name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._own_name), name)


class _Package:
    """What `from package import module` takes modules from."""

    def __init__(self, name: str) -> None:
        self._own_name = name

    def __getattr__(self, name: str) -> _Module:
        return _Module(f"{self._own_name}.{name}")


@contextmanager
def lazily() -> Iterator[None]:
    """Modules that are named in the block are imported when something is asked of them first.

    Write `import module` or `from package import module`, and `module.name` where it is used: a
    name cannot be taken from a module that is not there yet.
    """
    there = sys._getframe(2).f_globals
    import_ = builtins.__import__

    def note(name: str, globals: Any = None, *more: Any, **named: Any) -> Any:
        if globals is not there:
            return import_(name, globals, *more, **named)
        # What follows the names of the place: those that are taken from the module.
        return _Package(name) if more[1] else _Module(name)

    builtins.__import__ = note
    try:
        yield
    finally:
        builtins.__import__ = import_
