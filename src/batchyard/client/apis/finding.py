"""Which batch or campaign a word means: an id, its beginning, a folder, or `@last`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.apis.provider import ProviderError
from batchyard.client.apis.recent import LAST, recall
from batchyard.client.apis.remote import Remote

__all__ = ["UnclearError", "campaigns_below", "find_batch", "find_file", "find_folder"]

_LOOKED_AT_MAX = 1_000
# Of a word shorter than this it is not guessed what it begins; one so long is a whole id.
_SHORTEST, _WHOLE = 3, 30
_PREFIX = "batch_"
# Campaigns are looked for here, beside files, and in folders of them.
_PATTERNS = ("campaign.json", "*/campaign.json", "*/*/campaign.json")


class UnclearError(Exception):
    """A word means nothing, or more than one thing."""


def find_folder(word: str, state: Path, here: Path) -> Path | None:
    """The folder of the campaign that is meant; None where the word is no campaign's.

    It is a path, the beginning of a campaign's name or id below `here`, or `@last`.
    """
    if word == LAST:
        last = recall(state)
        if last is None:
            raise UnclearError("Nothing was submitted from here yet, so there is no @last.")
        return Path(last.folder) if last.folder is not None else None
    path = Path(word)
    if (path / "campaign.json").exists():
        return path
    if path.is_file() and (beside := path.with_name(f"{path.stem}.campaign")).exists():
        return beside
    if "/" in word or not word:
        return None
    below = campaigns_below(here)
    exact = [one for one in below if one.name in (word, f"{word}.campaign")]
    if len(exact) == 1:
        return exact[0]
    if len(word) < _SHORTEST:
        return None
    found = [one for one in below if one.name.startswith(word) or _id_of(one).startswith(word)]
    if len(found) > 1:
        raise UnclearError(f"'{word}' may be {_either(map(str, found))}.")
    return found[0] if found else None


class _Named(Struct):
    id: str


def _id_of(folder: Path) -> str:
    try:
        return msgspec.json.decode((folder / "campaign.json").read_bytes(), type=_Named).id
    except (OSError, msgspec.DecodeError):
        return ""


def campaigns_below(here: Path) -> list[Path]:
    """The folders of campaigns here, the newest first."""
    found = [path for pattern in _PATTERNS for path in here.glob(pattern)]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in found]


async def find_batch(remote: Remote, word: str, state: Path) -> dict[str, Any]:
    """The batch that is meant by its id, the unique beginning of it, or `@last`."""
    if word == LAST:
        last = recall(state)
        if last is None or last.batch_id is None:
            raise UnclearError("The last that was submitted is no batch.")
        word = last.batch_id
    newest = remote.newest_batches(_LOOKED_AT_MAX)
    return await _find(word, _PREFIX, remote.batch, newest)


async def find_file(remote: Remote, word: str) -> dict[str, Any]:
    """The file that is meant by its id or the unique beginning of it."""
    return await _find(word, "file-", remote.file, remote.newest_files(_LOOKED_AT_MAX, None))


async def _find(
    word: str,
    prefix: str,
    retrieve: Callable[[str], Awaitable[dict[str, Any]]],
    newest: AsyncIterator[dict[str, Any]],
) -> dict[str, Any]:
    try:
        return await retrieve(word)
    except ProviderError as error:
        if error.status not in (400, 404, 422) or not _SHORTEST <= len(word) < _WHOLE:
            raise
        missing = error
    beginnings = (word, prefix + word)
    found = [one async for one in newest if str(one.get("id")).startswith(beginnings)]
    if not found:
        raise missing
    if len(found) > 1:
        raise UnclearError(f"'{word}' may be {_either(str(one['id']) for one in found)}.")
    return found[0]


def _either(words: Any) -> str:
    told = list(words)
    more = f" or {len(told) - 3} more" if len(told) > 3 else ""
    return " or ".join(told[:3]) + more
