"""A campaign's folder at a URL: a working folder here, and the log of commits that is the truth.

A working folder is told by the file `url` in it; whatever takes a campaign's folder takes it, too.
It may be lost at any time.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from batchyard.places.commits import Commits
from batchyard.places.machine import cache_folder
from batchyard.places.objects import Objects, StoreError, is_url
from batchyard.places.whole import publish
from batchyard.places.working import Working

__all__ = [
    "Shared",
    "StoreError",
    "brought",
    "cancel",
    "folder_at",
    "found",
    "is_cancelled",
    "is_url",
    "move_in",
    "place_of",
    "take_over",
    "url_of",
]

# What says which campaign it is.
_NAMES = ("campaign.json", "sheet.json")
_CANCELLED = "cancelled"
# What a working folder is, whatever campaign is in it.
_OWN = ("url", "desk", "lock")


class Shared:
    """What is at the URL of a working folder, and what of it is here."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.objects = Objects(url)
        self.commits = Commits(self.objects, _desk(folder))
        self.working = Working(folder, self.objects)

    def write(self, step: bytes, names: Iterable[str]) -> None:
        """Send files, then the step that speaks of them."""
        sent = self.working.send(names, self.commits.files)
        self.commits.write(step, sent)
        self.working.keep(sent)
        if "results.jsonl" in sent:
            # For people and programs that look for it at the URL.
            self.objects.copy(sent["results.jsonl"].key, "results.jsonl")

    def settle(self) -> None:
        """Make the working folder what the log says; for its owner alone."""
        self.forget_another()
        self.working.bring(self.commits.files)
        for part in ("chunks", "raw"):
            (self.folder / part).mkdir(exist_ok=True)
        self.hear()

    def forget_another(self) -> None:
        """Remove what is here of a campaign that is not the one at the URL any more."""
        if self.working.has("campaign.json", self.commits.files):
            return
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in _OWN:
                path.unlink()

    def hear(self) -> None:
        """See whether somebody has cancelled the campaign."""
        flag = self.folder / _CANCELLED
        if self.objects.changed_at(_CANCELLED) is None:
            flag.unlink(missing_ok=True)
        elif not flag.exists():
            publish(flag, b"")

    def close(self) -> None:
        """Let go of the store."""
        self.objects.close()


def folder_at(place: str | os.PathLike[str]) -> Path:
    """The folder of this place: the working folder of a URL, with what its campaign is."""
    if not isinstance(place, str) or not is_url(place):
        return Path(place)
    url = place.rstrip("/")
    name = sha256(url.encode()).hexdigest()[:24]
    folder = cache_folder(os.environ) / "campaigns" / name
    if not (folder / "url").exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        publish(folder / "url", url.encode())
    with _opened(folder) as shared:
        assert shared is not None
        with (folder / "lock").open("ab") as lock, suppress(BlockingIOError):
            # Where somebody is at work here, it is as it should be, or will hear of it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shared.forget_another()
        shared.working.bring(shared.commits.files, _NAMES)
    return folder


def url_of(folder: Path) -> str | None:
    """The URL of a working folder; None for a folder that is the campaign itself."""
    try:
        return (folder / "url").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def place_of(folder: Path) -> str:
    """What people call the folder."""
    return url_of(folder) or str(folder)


def brought(folder: Path, *names: str) -> Path:
    """The folder, with these files of it here; all of them unless named."""
    with _opened(folder) as shared:
        if shared is not None:
            shared.working.bring(shared.commits.files, names or None)
    return folder


def found(folder: Path, manifest: bytes) -> bool:
    """Begin the campaign whose input is in the folder; False where another was quicker."""
    with _opened(folder) as shared:
        if shared is None:
            publish(folder / "campaign.json", manifest)
            return True
        sent = shared.working.send(["input.jsonl"], {})
        sent["campaign.json"] = shared.working.lay("campaign.json", manifest)
        begun = shared.commits.begin([], sent)
        if begun:
            shared.working.keep(sent)
        else:
            shared.commits.read_on()
            shared.working.bring(shared.commits.files, (*_NAMES, "input.jsonl"))
        return begun


def move_in(building: Path, folder: Path) -> bool:
    """Give a campaign that was made in another folder this one; False where one is there."""
    with _opened(folder) as shared:
        if shared is None:
            building.rename(folder)
            return True
        names = [
            path.relative_to(building).as_posix()
            for path in building.rglob("*")
            if path.is_file() and path.name not in ("lock", "diary.jsonl")
        ]
        sent = Working(building, shared.objects).send(sorted(names), {})
        diary = building / "diary.jsonl"
        steps = diary.read_bytes().splitlines() if diary.exists() else []
        begun = shared.commits.begin(steps, sent)
        if begun:
            shared.working.keep(sent, building)
        return begun


def cancel(folder: Path) -> None:
    """Note that no more is asked for."""
    with _opened(folder) as shared:
        if shared is not None:
            shared.objects.put(_CANCELLED, b"")
    publish(folder / _CANCELLED, b"")


def is_cancelled(folder: Path) -> bool:
    """Whether no more is asked for."""
    with _opened(folder) as shared:
        if shared is not None:
            return shared.objects.changed_at(_CANCELLED) is not None
    return (folder / _CANCELLED).exists()


def take_over(folder: Path) -> str | None:
    """Take whoever goes on with the campaign for dead, and say who that was."""
    with _opened(folder) as shared:
        return None if shared is None else shared.commits.dismiss()


@contextmanager
def _opened(folder: Path) -> Iterator[Shared | None]:
    """What is at the folder's URL, read; None for a folder that is the campaign itself."""
    url = url_of(folder)
    if url is None:
        yield None
        return
    shared = Shared(folder, url)
    try:
        shared.commits.read_on()
        yield shared
    finally:
        shared.close()


def _desk(folder: Path) -> str:
    """What a working folder is called by others; it is given up with the folder."""
    path = folder / "desk"
    if not path.exists():
        publish(path, uuid4().hex.encode())
    return path.read_text(encoding="utf-8")
