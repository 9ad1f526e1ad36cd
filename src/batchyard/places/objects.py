"""Objects at a URL, in any store that the package obstore knows; wants the extra `cloud`."""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from batchyard.places.whole import publish

__all__ = ["MissingStoreError", "Objects", "StoreError", "is_url"]

_AT_ONCE = 8
_PART_BYTES = 8 << 20
# A call is tried for about a minute before it is given up.
_RETRIES: dict[str, Any] = {"max_retries": 9, "retry_timeout": timedelta(seconds=60)}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_QUERY = re.compile(r"\?\S+")
T = TypeVar("T")


class StoreError(Exception):
    """An object store cannot be reached, or refuses."""


class MissingStoreError(StoreError, ImportError):
    """A URL was given, and what opens URLs is not installed."""


def is_url(word: object) -> bool:
    """Whether this names a place elsewhere, and no file of this machine."""
    return isinstance(word, str) and _SCHEME.match(word) is not None


class Objects:
    """The objects below a URL. An object is there whole or not at all, and is durable at once.

    Whatever goes wrong is a StoreError. Calls wait in threads, so that Ctrl-C is heard.
    """

    def __init__(self, url: str, retries: dict[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        try:
            self._obstore: Any = import_module("obstore")
            self._made: Any = import_module("obstore.store")
        except ImportError as error:
            raise MissingStoreError(
                f"A folder at a URL ({url}) wants the package obstore: "
                "pip install 'batchyard[cloud]'."
            ) from error
        with self._told():
            self._store = self._open(retries or _RETRIES)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="objects")

    def _open(self, retries: dict[str, Any]) -> Any:
        if self.url.startswith("file://"):
            return self._made.LocalStore(unquote(urlsplit(self.url).path), mkdir=True)
        return self._made.from_url(self.url, retry_config=retries)

    def create(self, key: str, content: bytes) -> bool:
        """Put an object where there is none; False where there is one already."""
        try:
            self._call(self._obstore.put, self._store, key, content, mode="create")
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def put(self, key: str, content: bytes | Path) -> None:
        """Put an object, also in the place of another; a file is streamed."""
        self._call(self._obstore.put, self._store, key, content)

    def copy(self, key: str, other: str) -> None:
        """Have the store put the same object elsewhere, too."""
        self._call(self._obstore.copy, self._store, key, other)

    def read(self, key: str) -> bytes | None:
        """A small object; None where there is none."""
        try:
            return bytes(self._call(self._obstore.get, self._store, key).bytes())
        except FileNotFoundError:
            return None

    def read_all(self, keys: Iterable[str]) -> list[bytes | None]:
        """Small objects, several at once."""
        return list(self._pool.map(self._read_now, keys))

    def _read_now(self, key: str) -> bytes | None:
        try:
            with self._told():
                return bytes(self._obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return None

    def fetch(self, key: str, size: int, path: Path) -> None:
        """Write an object to a file, in parts; the file is there whole or not at all."""
        publish(path, self._parts(key, size))
        if path.stat().st_size != size:
            path.unlink()
            raise StoreError(f"{self.url}/{key} has not the {size:,} bytes that it had.")

    def _parts(self, key: str, size: int) -> Iterator[bytes]:
        ask = self._obstore.get_range
        for start in range(0, size, _PART_BYTES):
            end = min(size, start + _PART_BYTES)
            yield bytes(self._call(ask, self._store, key, start=start, end=end))

    def names(self, below: str, after: str = "") -> list[str]:
        """The keys that begin with `below/` and come after another, in their order."""
        return self._call(self._list, below, after)

    def _list(self, below: str, after: str) -> list[str]:
        pages = self._obstore.list(self._store, f"{below}/", offset=after or None)
        return sorted(str(one["path"]) for page in pages for one in page)

    def changed_at(self, key: str) -> float | None:
        """When an object was last put, by the clock of the store; None where there is none."""
        try:
            found = self._call(self._obstore.head, self._store, key)
        except FileNotFoundError:
            return None
        return float(found["last_modified"].timestamp())

    def remove(self, key: str) -> None:
        """Remove an object; that it is not there is as good."""
        try:
            self._call(self._obstore.delete, self._store, key)
        except FileNotFoundError:
            return

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False)

    def _call(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        with self._told():
            return self._pool.submit(work, *args, **named).result()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Faults of the store as StoreError, in a line, without what a URL may keep secret."""
        known = self._obstore.exceptions
        try:
            yield
        except (known.AlreadyExistsError, FileNotFoundError):
            raise
        except (known.BaseError, OSError, NotImplementedError, ValueError) as error:
            words = _QUERY.sub("", str(error).partition("\n")[0])
            raise StoreError(f"{self.url}: {words}") from error
