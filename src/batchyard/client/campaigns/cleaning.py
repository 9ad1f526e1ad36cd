"""The files that a campaign has left at a server, and their end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from batchyard.client.apis.provider import ProviderError
from batchyard.client.apis.remote import Remote
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.campaigns.standing import Standing

__all__ = ["Leftover", "NotCollectedError", "delete_all", "leftovers"]

_GONE = (404, 410)


class NotCollectedError(Exception):
    """The files at the server are still needed: not all that is in them is in the folder."""


class Leftover(Struct, frozen=True):
    """One file at a server; `became` says what was done about it."""

    file_id: str
    kind: Literal["input", "output", "error"]
    batch_id: str | None
    became: Literal["kept", "deleted", "gone"] = "kept"


def leftovers(standing: Standing, folder: Path) -> list[Leftover]:
    """All files that the campaign uploaded, and that its batches made, each once.

    Raises NotCollectedError where the campaign is not complete or lacks the bytes of a file.
    """
    if standing.counts is None or not (folder / "results.jsonl").exists():
        raise NotCollectedError(f"{standing.folder} is not complete; watch or cancel it first.")
    found: dict[str, Leftover] = {}
    for chunk in standing.chunks:
        for one in _files_of(chunk, folder):
            found.setdefault(one.file_id, one)
    return list(found.values())


async def delete_all(remote: Remote, files: list[Leftover]) -> AsyncIterator[Leftover]:
    """Delete them one after another; one that is not there any more is as good as deleted."""
    for one in files:
        try:
            await remote.delete_file(one.file_id)
        except ProviderError as error:
            if error.status not in _GONE:
                raise
            yield Leftover(one.file_id, one.kind, one.batch_id, "gone")
        else:
            yield Leftover(one.file_id, one.kind, one.batch_id, "deleted")


def _files_of(chunk: Chunk, folder: Path) -> Iterator[Leftover]:
    if chunk.file_id:
        yield Leftover(chunk.file_id, "input", chunk.batch_id)
    for kind, name, file_id in (
        ("output", "output", chunk.output_file_id),
        ("error", "errors", chunk.error_file_id),
    ):
        if not file_id:
            continue
        path = folder / "raw" / f"{chunk.name}.{name}.jsonl"
        if not path.exists():
            raise NotCollectedError(f"{path} is not there, so {file_id} is kept.")
        yield Leftover(file_id, "output" if kind == "output" else "error", chunk.batch_id)
