"""Throws away what nothing needs any more: bytes of deleted files, of uploads, left-overs."""

import asyncio

from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.database import Runner
from batchyard.places.log import log
from batchyard.places.store import Records

__all__ = ["Upkeep"]

# Files expire by the clock; nobody minds when their bytes go an hour later.
_LOOK_SECONDS = 3_600.0


class Upkeep:
    """Sweeps when the bell rings, and every hour."""

    def __init__(self, records: Records, blobs: Blobs, runner: Runner, clock: Clock) -> None:
        self._records, self._blobs = records, blobs
        self._runner, self._clock = runner, clock
        self._wake = asyncio.Event()

    def ring(self) -> None:
        """A file may have become superfluous."""
        self._wake.set()

    def sweep_orphans(self) -> None:
        """Delete blobs that no row names; only to be called while nobody else writes."""
        named = self._records.named_blobs()
        orphans = [name for name in self._blobs.names() if name not in named]
        self._blobs.delete(orphans)
        if orphans:
            log.info("orphans_deleted", blobs=len(orphans))

    def sweep(self) -> None:
        """Delete the bytes of files and uploads that are over, and forget old promises."""
        self._sweep_files()
        self._sweep_uploads()
        self._sweep_promises()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._wake.clear()
            for sweep in (self._sweep_files, self._sweep_uploads, self._sweep_promises):
                await self._runner.run(sweep)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _sweep_files(self) -> None:
        now = int(self._clock.wall())
        for id, blobs in self._records.discarded(now):
            # The row comes last: a crash between leaves one whose bytes are asked away again.
            self._blobs.delete(blobs)
            self._records.forget_file(id, now)

    def _sweep_uploads(self) -> None:
        now = int(self._clock.wall())
        for id, blob in self._records.spare_parts(now):
            self._blobs.delete([blob])
            self._records.forget_part(id)
        self._records.forget_uploads(now)

    def _sweep_promises(self) -> None:
        self._records.forget_promises(int(self._clock.wall()))
