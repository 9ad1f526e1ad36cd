"""Downloads a file piece by piece, and goes on where it was cut short."""

import asyncio
from pathlib import Path
from typing import Any

from batchyard.client.apis.provider import ProviderError, Trouble
from batchyard.client.apis.remote import Remote
from batchyard.places.whole import install

__all__ = ["download"]

_FAULTS_MAX = 4
_PAUSE_SECONDS = 0.5


async def download(remote: Remote, found: dict[str, Any], out: Path) -> tuple[int, int]:
    """Write a file to `out`, whole or not at all; where it began this time, and its size.

    What there is of it stands beside `out` until it is whole, under a name with the file's id, so
    that nothing is ever continued with another file's bytes.
    """
    id = str(found["id"])
    beside = out.with_name(f".{out.name}.{id}.partial")
    with beside.open("ab") as file:
        start = size = file.tell()
        faults = 0
        while True:
            try:
                async for piece in remote.pieces(id, size):
                    file.write(piece)
                    file.flush()
                    size, faults = size + len(piece), 0
                break
            except ProviderError as error:
                faults += 1
                if not error.transient or faults >= _FAULTS_MAX:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS * 2**faults)
    told = found.get("bytes")
    if isinstance(told, int) and told and told != size:
        beside.unlink()
        message = f"{id} has {told:,} bytes, and {size:,} came. Try again."
        raise ProviderError(0, Trouble("invalid_response", message), sent=True)
    install(beside, out)
    return start, size
