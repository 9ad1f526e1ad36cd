"""A campaign that model servers answer, without a Batch API: its whole input as one chunk."""

from pathlib import Path

from msgspec import Struct

from batchyard.client.campaigns.cutting import write_whole
from batchyard.client.campaigns.intents import Diary, Step
from batchyard.places.whole import publish

__all__ = ["Asked", "begin_here", "end_here", "is_here"]

_MARK = "upstream"


class Asked(Struct, frozen=True):
    """What is to be answered, and where answers and failed lines go."""

    requests: Path
    answers: Path
    failures: Path


def begin_here(folder: Path) -> Asked | None:
    """What of a campaign is to be answered; None where all of it is."""
    diary = Diary(folder, alone=True)
    try:
        if diary.counts is not None or any(one.collected for one in diary.chunks):
            return None
        if not diary.chunks:
            chunk = write_whole(folder / "input.jsonl", folder / "chunks")
            publish(folder / _MARK, b"")
            diary.write(Step(did="planned", round=1, planned=(chunk,)))
        name = diary.chunks[0].name
    finally:
        diary.close()
    raw = folder / "raw"
    return Asked(
        folder / "chunks" / f"{name}.jsonl",
        raw / f"{name}.output.jsonl",
        raw / f"{name}.errors.jsonl",
    )


def end_here(folder: Path) -> None:
    """Note that all of it is answered: `run()` merges, and asks no server."""
    diary = Diary(folder, alone=True)
    try:
        diary.write(Step(did="ended", chunk=0, status="completed"))
        diary.write(Step(did="collected", chunk=0))
    finally:
        diary.close()


def is_here(folder: Path) -> bool:
    """Whether a campaign is answered by model servers."""
    return (folder / _MARK).exists()
