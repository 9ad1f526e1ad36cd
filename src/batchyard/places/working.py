"""A working folder: the files of a shared folder that are here, each what a commit says it is.

The bytes of a file are in `kept/` under the key that they have at the URL, and its name is a hard
link to them; so what is here needs no list of its own, and a file that was written anew is told
from the one that was sent.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from uuid import uuid4

from batchyard.places.commits import Kept
from batchyard.places.objects import Objects, StoreError
from batchyard.places.whole import publish

__all__ = ["Working"]


class Working:
    """The files of one working folder, and their way to and from a URL."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        self._folder, self._objects = folder, objects

    def bring(self, files: Mapping[str, Kept], names: Iterable[str] | None = None) -> None:
        """Have these files here; all of them unless named."""
        for name in files if names is None else names:
            if name in files and not self.has(name, files):
                kept = self._kept(files[name].key)
                if not kept.exists() or kept.stat().st_size != files[name].size:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    self._objects.fetch(files[name].key, files[name].size, kept)
                self._link(kept, name)

    def send(self, names: Iterable[str], files: Mapping[str, Kept]) -> dict[str, Kept]:
        """Send the files that are not at the URL as they are here; where they are there."""
        sent = {}
        for name in names:
            path = self._folder / name
            if self.has(name, files):
                continue
            one = Kept(_key_of(name), path.stat().st_size)
            self._objects.put(one.key, path)
            sent[name] = one
        return sent

    def keep(self, sent: Mapping[str, Kept], source: Path | None = None) -> None:
        """Note that these are at the URL; from another folder they are taken over."""
        for name, one in sent.items():
            kept = self._kept(one.key)
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.hardlink_to((source or self._folder) / name)
            if not self._is(name, one):
                self._link(kept, name)

    def lay(self, name: str, content: bytes) -> Kept:
        """Send what is to be a file once a commit speaks of it."""
        one = Kept(_key_of(name), len(content))
        self._objects.put(one.key, content)
        kept = self._kept(one.key)
        kept.parent.mkdir(parents=True, exist_ok=True)
        publish(kept, content)
        return one

    def has(self, name: str, files: Mapping[str, Kept]) -> bool:
        """Whether a file is here as the commits have it."""
        return name in files and self._is(name, files[name])

    def _is(self, name: str, one: Kept) -> bool:
        path, kept = self._folder / name, self._kept(one.key)
        return path.exists() and kept.exists() and path.samefile(kept)

    def _kept(self, key: str) -> Path:
        return self._folder / "kept" / _inside(key)

    def _link(self, kept: Path, name: str) -> None:
        path = self._folder / _inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{uuid4().hex}")
        beside.hardlink_to(kept)
        beside.replace(path)
        # Where both were links to the same bytes already, replacing does nothing.
        beside.unlink(missing_ok=True)


def _key_of(name: str) -> str:
    """A key that no other file has or will have: `raw/000000.output.1b2c3d4e.jsonl`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{uuid4().hex[:12]}{path.suffix}"))


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise StoreError(f"The log names a file outside of its folder: {name!r}.")
    return path
