"""Which function a campaign holds its answers against: its name, for a folder keeps no function."""

from pathlib import Path

from batchyard.client.campaigns.intents import Diary, Step
from batchyard.client.results.outcomes import Check

__all__ = ["MissingCheckError", "note_check", "unchecked"]


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


def note_check(diary: Diary, folder: Path, check: Check | None) -> None:
    """Note the name of a check for later; MissingCheckError where one was noted and none comes."""
    if check is None:
        if diary.check:
            raise MissingCheckError(folder, diary.check)
        return
    name = _name_of(check)
    if check is not unchecked and name != diary.check:
        diary.write(Step(did="checking", check=name))


def _name_of(check: Check) -> str:
    named = getattr(check, "__qualname__", None) or type(check).__qualname__
    return f"{getattr(check, '__module__', None) or type(check).__module__}:{named}"
