"""Remembers what was submitted last, so that it can be called `@last`."""

from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.places.whole import publish

__all__ = ["LAST", "Recent", "recall", "remember"]

LAST = "@last"


class Recent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A campaign by its folder, or a batch by its id and where it is."""

    folder: str | None = None
    batch_id: str | None = None
    base_url: str | None = None


def remember(state: Path, recent: Recent) -> None:
    """Note it; a state folder that cannot be written is no reason to fail."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        publish(state / "last.json", msgspec.json.encode(recent))
    except OSError:
        return


def recall(state: Path) -> Recent | None:
    """What was noted; None where nothing was."""
    try:
        return msgspec.json.decode((state / "last.json").read_bytes(), type=Recent)
    except (OSError, msgspec.DecodeError):
        return None
