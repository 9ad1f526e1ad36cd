"""Gives bytes that are durable already their row, or takes them away again."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from batchyard.places.log import log
from batchyard.server.yard import Yard

__all__ = ["named"]

P = ParamSpec("P")
T = TypeVar("T")


async def named(
    yard: Yard, blob: str, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a call of the store that names a blob; where it fails, the blob goes too.

    A transaction that failed at its end may have been written all the same, so the store is asked
    first. Where it cannot say, the blob stays, and is found when the server looks for those that
    have no row.
    """
    faults: tuple[type[Exception], ...] = (OSError, *yard.records.faults)
    try:
        return await yard.store.run(write, *args, **kwargs)
    except faults:
        try:
            if not await yard.store.run(yard.records.names_blob, blob):
                await yard.disk.run(yard.blobs.delete, [blob])
        except faults as fault:
            log.warning("blob_left_over", blob=blob, fault=str(fault))
        raise
