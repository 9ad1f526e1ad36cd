"""Which function a campaign holds its answers against: its name, for a folder keeps no function."""

from pathlib import Path

from batchyard.client.results.outcomes import Check
from batchyard.places.whole import publish

__all__ = ["MissingCheckError", "note_check", "noted_check", "unchecked"]

_FILE = "check"


class MissingCheckError(Exception):
    """A campaign was begun with a check, and goes on without one."""

    def __init__(self, folder: Path, name: str) -> None:
        own = name.rpartition(":")[2]
        super().__init__(
            f"{folder} holds its answers against {name}, a function, which no folder can keep. "
            f"Go on with Campaign(folder, check={own}), or batchyard watch {folder} "
            "--check MODULE:NAME. To take answers as they are: check=batchyard.unchecked, "
            "or --check none."
        )


def unchecked(_custom_id: str, _text: str) -> None:
    """A check that finds nothing wrong."""


def note_check(folder: Path, check: Check | None) -> None:
    """Note the name of a check for later; MissingCheckError where one was noted and none comes."""
    noted = noted_check(folder)
    if check is None:
        if noted:
            raise MissingCheckError(folder, noted)
        return
    name = _name_of(check)
    if check is not unchecked and name != noted:
        publish(folder / _FILE, name.encode())


def noted_check(folder: Path) -> str:
    """The name of the check that was noted; empty where there is none."""
    path = folder / _FILE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _name_of(check: Check) -> str:
    named = getattr(check, "__qualname__", None) or type(check).__qualname__
    return f"{getattr(check, '__module__', None) or type(check).__module__}:{named}"
