"""The diary of a campaign: what it is about to do and what it has done, synced line by line."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.client.apis.provider import Trouble
from batchyard.client.campaigns.journal import CampaignInUseError, beginning, journal_in

__all__ = ["CampaignInUseError", "Chunk", "Diary", "Step", "beginning"]

_OVER = frozenset(
    {"completed", "failed", "expired", "cancelled", "refused", "dropped", "split", "lost"}
)
# What there may be of a chunk when it is planned, and when it is collected.
_PLANNED = ("jsonl", "inputs.json")
_COLLECTED = ("output.jsonl", "errors.jsonl")


class Chunk(Struct):
    """One planned batch and how far it is.

    `tries` counts creates that were begun; the last one is `open` while its end is not known.
    `status` is that of its batch, or `refused` where create was, or `dropped` where a cancelled
    campaign did not create it, or `split` where smaller chunks came in its place, or `lost` where
    the server has it no longer. `collected`: its result files are here. `alone`: how often the
    server's queue was full for it while nothing else of ours was in it. `created_at`, `ended_at`:
    when its batch was made and ended, by the server's clock; 0 where it does not tell.
    """

    number: int
    round: int
    url: str
    lines: int
    tokens: int
    file_id: str | None = None
    tries: int = 0
    open: bool = False
    batch_id: str | None = None
    status: str = "planned"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[Trouble, ...] = ()
    collected: bool = False
    alone: int = 0
    created_at: int = 0
    ended_at: int = 0

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.number:06d}"

    @property
    def label(self) -> str:
        """What its batch carries in its metadata; each try has its own."""
        return f"{self.name}.{self.tries}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it but that its files are fetched."""
        return self.status in _OVER


class Step(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the diary; `did` says which of the others are meant."""

    did: str
    chunk: int = -1
    round: int = 0
    planned: tuple[Chunk, ...] = ()
    file_id: str | None = None
    batch_id: str | None = None
    status: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[Trouble, ...] = ()
    counts: dict[str, int] | None = None
    duplicates: int = 0
    strangers: int = 0
    check: str = ""
    alone: bool = False
    created_at: int = 0
    ended_at: int = 0


_decoder = msgspec.json.Decoder(Step)


class Diary:
    """A journal of steps and the chunks that they add up to.

    With `alone`, the folder is taken until this process ends; CampaignInUseError where another
    has it.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self.chunks: list[Chunk] = []
        # The name of the function that answers are held against.
        self.check = ""
        self.rounds = 0
        self.counts: dict[str, int] | None = None
        self.duplicates = self.strangers = 0
        self._folder = folder
        self._journal = journal_in(folder, alone=alone)
        for line in self._journal.lines:
            self._fold(_decoder.decode(line))

    def write(self, step: Step) -> None:
        """Note a step; when this returns it is durable."""
        self._journal.write(msgspec.json.encode(step), self._files_of(step))
        self._fold(step)

    def hold(self) -> None:
        """Raise CampaignInUseError where another has taken over."""
        self._journal.hold()

    def close(self) -> None:
        """Leave the folder to others."""
        self._journal.close()

    def _files_of(self, step: Step) -> Iterator[str]:
        """The files that must be durable before the step is; looked for only by who asks."""
        if step.did == "merged":
            yield "results.jsonl"
        names = [f"chunks/{one.name}.{kind}" for one in step.planned for kind in _PLANNED]
        if step.did == "collected":
            names += [f"raw/{self.chunks[step.chunk].name}.{kind}" for kind in _COLLECTED]
        yield from (name for name in names if (self._folder / name).exists())

    def _fold(self, step: Step) -> None:
        if step.did == "planned":
            self.chunks.extend(step.planned)
            self.rounds = step.round
            self.counts = None
        elif step.did == "split":
            chunk = self.chunks[step.chunk]
            chunk.open, chunk.batch_id, chunk.status, chunk.collected = False, None, "split", True
            self.chunks.extend(step.planned)
        elif step.did == "checking":
            self.check = step.check
        elif step.did == "merged":
            self.counts = step.counts
            self.duplicates, self.strangers = step.duplicates, step.strangers
        else:
            _apply(self.chunks[step.chunk], step)


def _apply(chunk: Chunk, step: Step) -> None:
    match step.did:
        case "uploaded":
            chunk.file_id = step.file_id
        case "creating":
            chunk.tries += 1
            chunk.open = True
        case "created":
            chunk.open, chunk.batch_id, chunk.status = False, step.batch_id, "created"
        case "waiting":
            # The queue was full: whatever there was of a batch has ended without a line.
            chunk.open, chunk.batch_id, chunk.status = False, None, "planned"
            chunk.errors = step.errors
            chunk.alone += step.alone
        case "ended":
            chunk.open, chunk.status, chunk.errors = False, step.status, step.errors
            chunk.output_file_id, chunk.error_file_id = step.output_file_id, step.error_file_id
            chunk.created_at, chunk.ended_at = step.created_at, step.ended_at
        case "collected":
            chunk.collected = True
        case _:
            raise ValueError(f"This diary has a step that is not known: {step.did!r}.")
