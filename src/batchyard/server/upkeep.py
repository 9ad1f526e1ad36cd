"""Throws away what nothing needs any more: bytes of deleted files, of uploads, left-overs.

What a row says is over is deleted. What no row knows is only moved to the trash, and only when
database and blobs belong together, nobody has touched it for a while, and it is not much.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock
from batchyard.places.database import Runner
from batchyard.places.log import log
from batchyard.places.store import Records
from batchyard.rules.installation import too_many_unnamed
from batchyard.server.installation import Installation

__all__ = ["Unnamed", "Upkeep", "find_unnamed"]

# Files expire by the clock; nobody minds when their bytes go an hour later.
_LOOK_SECONDS = 3_600.0
# So many rows are done with at a time; whoever else wants to write comes to their turn between.
_TURN_ROWS = 100
# After a failure of the disk or the store; and for one blob that cannot be deleted.
_AGAIN_SECONDS, _BLOB_AGAIN_SECONDS = (2.0, 60.0), (60.0, 86_400.0)
# Whoever writes a blob names it within much less than this.
_YOUNG_SECONDS = 3_600
_TRASH_SECONDS = 86_400


class Unnamed(NamedTuple):
    """Blobs that no row names and nobody can still be about to name, and how many there are."""

    names: Sequence[str]
    blobs: int

    @property
    def is_much(self) -> bool:
        """Whether they look like a loss of rows."""
        return too_many_unnamed(len(self.names), self.blobs)


def find_unnamed(
    records: Records, blobs: Blobs, now: float, living: Callable[[], Iterable[str]]
) -> Unnamed:
    """What no row names; `living` are workers, whose blobs may get a name at any time."""
    # The order matters: what is written and named meanwhile is not seen at all.
    workers, there = tuple(living()), list(blobs.names())
    named = records.named_blobs()
    unnamed = [
        name
        for name in there
        if name not in named
        and (look := blobs.look(name)) is not None
        and look[1] <= now - _YOUNG_SECONDS
        and not any(worker in name for worker in workers)
    ]
    return Unnamed(sorted(unnamed), len(there))


class Upkeep:
    """Sweeps when the bell rings, and every hour.

    `runner` runs statements, `disk` what works on blobs. Without an installation nothing that is
    unnamed is looked for.
    """

    def __init__(
        self,
        records: Records,
        blobs: Blobs,
        runner: Runner,
        clock: Clock,
        *,
        disk: Runner | None = None,
        installation: Installation | None = None,
    ) -> None:
        self._records, self._blobs = records, blobs
        self._runner, self._disk, self._clock = runner, disk or runner, clock
        self._installation = installation
        self._faults: tuple[type[Exception], ...] = (OSError, *records.faults)
        self._wake = asyncio.Event()
        self._searched_at = float("-inf")
        # Blobs that cannot be deleted: when to try again (steady), and how long to wait then.
        self._stuck: dict[str, tuple[float, float]] = {}

    def ring(self) -> None:
        """A file may have become superfluous."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        delay, most = _AGAIN_SECONDS
        while True:
            self._wake.clear()
            if await self.sweep():
                delay = _AGAIN_SECONDS[0]
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            else:
                # However often the bell rings meanwhile.
                await asyncio.sleep(delay)
                delay = min(most, delay * 2)

    async def sweep(self) -> bool:
        """Delete and forget all that is over; False where something of it failed."""
        done = True
        for name, sweep in (
            ("files", self.sweep_files),
            ("uploads", self.sweep_uploads),
            ("promises", self.sweep_promises),
            ("unnamed blobs", self._sweep_unnamed_hourly),
            ("installation", self._note),
        ):
            try:
                await sweep()
            except self._faults as fault:
                log.error("sweep_failed", what=name, fault=str(fault))
                done = False
        return done

    async def sweep_files(self) -> None:
        """Delete the bytes of deleted and expired files."""
        now, after = int(self._clock.wall()), 0
        while rows := await self._runner.run(
            self._records.discarded, now, after=after, limit=_TURN_ROWS
        ):
            after = rows[-1].sequence
            # The row comes last: a crash between leaves one whose bytes are asked away again.
            gone = await self._delete({row.id: row.blobs for row in rows})
            if gone:
                await self._runner.run(self._records.forget_files, gone, now)
        await self._runner.run(self._records.forget_marks, now)

    async def sweep_uploads(self) -> None:
        """Delete the parts of uploads that are over."""
        now, after = int(self._clock.wall()), ""
        await self._runner.run(self._records.expire_uploads, now)
        while rows := await self._runner.run(
            self._records.spare_parts, after=after, limit=_TURN_ROWS
        ):
            after = rows[-1][0]
            gone = await self._delete({id: (blob,) for id, blob in rows})
            if gone:
                await self._runner.run(self._records.forget_parts, gone)
        await self._runner.run(self._records.forget_uploads, now)

    async def sweep_promises(self) -> None:
        """Forget what was answered to requests of long ago."""
        await self._runner.run(self._records.forget_promises, int(self._clock.wall()))

    async def sweep_unnamed(self, *, even_much: bool = False) -> Unnamed | None:
        """Move to the trash what no row names; None where that is not to be decided here.

        Much is left where it is, unless that is asked for.
        """
        found = await self.unnamed()
        if found is None or not found.names:
            return found
        if found.is_much and not even_much:
            log.error(
                "unnamed_blobs_kept",
                unnamed=len(found.names),
                blobs=found.blobs,
                advice="So many blobs without a row look as if rows were lost. Is this the newest "
                "database? If so, stop the server and run `batchyard gc --all`.",
            )
            return found
        now, names = int(self._clock.wall()), iter(found.names)
        while some := list(islice(names, _TURN_ROWS)):
            await self._disk.run(self._blobs.throw_away, some, now)
            # Whoever has named one in this very moment gets it back.
            named = await self._runner.run(self._records.named_blobs)
            await self._disk.run(self._blobs.take_out, named.intersection(some), now)
        log.warning("unnamed_blobs_moved_to_trash", blobs=len(found.names))
        return found

    async def unnamed(self) -> Unnamed | None:
        """What no row names; None where database and blobs do not belong together."""
        installation = self._installation
        if installation is None:
            return None
        if why := await self._disk.run(installation.objection):
            log.error("nothing_unnamed_swept", why=why)
            return None
        return await self._disk.run(
            find_unnamed,
            self._records,
            self._blobs,
            self._clock.wall(),
            installation.living_workers,
        )

    async def _sweep_unnamed_hourly(self) -> None:
        steady = self._clock.steady()
        if steady - self._searched_at >= _LOOK_SECONDS:
            await self.sweep_unnamed()
            await self._disk.run(self._blobs.empty_trash, int(self._clock.wall()) - _TRASH_SECONDS)
            self._searched_at = steady

    async def _note(self) -> None:
        if self._installation is not None:
            await self._disk.run(self._installation.note)

    async def _delete(self, blobs: dict[str, tuple[str, ...]]) -> list[str]:
        """Delete the blobs of rows; tells of which rows all are gone."""
        return await self._disk.run(self._delete_now, blobs, self._clock.steady())

    def _delete_now(self, blobs: dict[str, tuple[str, ...]], steady: float) -> list[str]:
        left = {id for id, names in blobs.items() for name in names if not self._gone(name, steady)}
        return [id for id in blobs if id not in left]

    def _gone(self, name: str, steady: float) -> bool:
        again_at, delay = self._stuck.get(name, (0.0, _BLOB_AGAIN_SECONDS[0]))
        if again_at > steady:
            return False
        try:
            self._blobs.delete([name])
        except OSError as fault:
            log.error("blob_not_deleted", blob=name, fault=str(fault), again_in_seconds=delay)
            self._stuck[name] = steady + delay, min(_BLOB_AGAIN_SECONDS[1], delay * 2)
            return False
        self._stuck.pop(name, None)
        return True
