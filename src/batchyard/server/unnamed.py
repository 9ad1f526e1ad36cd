"""Blobs whose row may not have been written: they are deleted, once it is known that it was not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchyard.places.log import log
from batchyard.server.yard import Yard

__all__ = ["unless_named"]


@asynccontextmanager
async def unless_named(yard: Yard, blob: str) -> AsyncIterator[None]:
    """Delete a blob when what is done in this context fails and no row names the blob.

    What was asked of the store may have been done though it failed here, so that is asked on the
    same thread, behind it. Where that fails too the blob is left to the next start.
    """
    try:
        yield
    except BaseException:
        faults: tuple[type[Exception], ...] = (OSError, *yard.records.faults)
        try:
            if not await yard.store.run(yard.records.names_blob, blob):
                await yard.disk.run(yard.blobs.delete, [blob])
        except faults as fault:
            log.warning("blob_left", blob=blob, fault=str(fault))
        raise
