"""What of a server's disk and store cannot be used now, since when, and why; held in memory."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from batchyard.places.database import Runner
from batchyard.places.folder import DataFolder
from batchyard.places.store import Store, in_words, is_full
from batchyard.rules.readiness import Trouble

__all__ = ["Condition"]

# Whoever asks does not wait for a store that is locked.
_PROBE_SECONDS = 1.0


class Condition:
    """Hears how each write of the store went, and looks at the disk when it is asked."""

    def __init__(
        self,
        folder: DataFolder,
        store: Store,
        runner: Runner,
        wall: Callable[[], float],
        *,
        free_bytes_min: int,
    ) -> None:
        self._folder, self._store, self._runner, self._wall = folder, store, runner, wall
        self._free_bytes_min = free_bytes_min
        # By code; what comes back keeps no memory of before.
        self._troubles: dict[str, Trouble] = {}
        # The last write of the store found the disk full.
        self._is_full = False
        store.told = self._heard

    async def troubles(self) -> tuple[Trouble, ...]:
        """What cannot be used now; a store that failed is tried again."""
        if "store_unavailable" in self._troubles or self._is_full:
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await self._runner.run(self._probe)
            except (TimeoutError, OSError):
                pass
        self._look()
        return tuple(self._troubles.values())

    def _probe(self) -> None:
        try:
            with self._store.writing():
                pass
        except self._store.faults:
            # Heard of already.
            pass

    def _heard(self, fault: Exception | None) -> None:
        """How a write of the store went; called on its thread."""
        if fault is None:
            self._troubles.pop("store_unavailable", None)
            self._is_full = False
        elif is_full(fault):
            self._is_full = True
        else:
            self._note("store_unavailable", in_words(fault, self._folder.database_url))

    def _look(self) -> None:
        """Look at the disks under blobs and database, and whether these are still there."""
        found = {
            # The blobs may be on a disk of their own.
            "disk_low": self._lacks_room(self._folder.blobs)
            or self._lacks_room(self._folder.path)
            or self._full(),
            "disk_read_only": _is_read_only(self._folder.blobs),
            "data_gone": self._gone(),
        }
        for code, message in found.items():
            if message is None:
                self._troubles.pop(code, None)
            else:
                self._note(code, message)

    def _note(self, code: str, message: str) -> None:
        before = self._troubles.get(code)
        since = int(self._wall()) if before is None else before.since
        self._troubles[code] = Trouble(code, message, since)

    def _full(self) -> str | None:
        if not self._is_full:
            return None
        return f"The disk of {self._folder.path} is full, so the database cannot be written."

    def _lacks_room(self, folder: Path) -> str | None:
        try:
            there = os.statvfs(folder)
        except OSError:
            return None
        free = there.f_bavail * there.f_frsize
        if free >= self._free_bytes_min:
            return None
        return (
            f"The disk of {folder} has {free:,} bytes left, less than disk_free_bytes_min "
            f"({self._free_bytes_min:,}). Make room."
        )

    def _gone(self) -> str | None:
        for path in (self._folder.database, self._folder.blobs):
            if not path.exists():
                return f"{path} was removed while the server runs. Put it back, or restart."
        return None


def _is_read_only(folder: Path) -> str | None:
    try:
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return None
    return f"The disk of {folder} is read-only." if is_read_only else None
