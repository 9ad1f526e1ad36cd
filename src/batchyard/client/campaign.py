"""A campaign: one input file, as many batches as it takes, one result for each input, for good."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec
from msgspec import Struct

from batchyard.client.cutting import requests_of
from batchyard.client.intents import Chunk, Diary, publish
from batchyard.client.pursuit import Pursuit, Until
from batchyard.client.settings import Progress, Settings
from batchyard.places.faults import Reach, nothing

__all__ = ["Campaign", "NoCampaignError", "OtherInputError", "Standing"]

_CHUNK_BYTES = 1 << 20
T = TypeVar("T")


class OtherInputError(Exception):
    """The folder holds a campaign for another input."""


class NoCampaignError(Exception):
    """The folder holds no campaign."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a campaign is; written once. No key stands in it."""

    id: str
    input_sha256: str
    requests: int
    settings: Settings


class Standing(Struct, frozen=True, kw_only=True):
    """How a campaign stands, by its folder alone; `counts` are there once it is complete."""

    id: str
    folder: str
    base_url: str
    requests: int
    rounds: int
    cancelled: bool
    chunks: tuple[Chunk, ...]
    counts: Mapping[str, int] | None


class Campaign:
    """One durable unit of batches in one folder; who opens the folder again goes on with it.

    `key` is used and never kept. Any method may be cut short at any moment, also by SIGKILL.
    """

    def __init__(
        self, folder: Path, key: str | None = None, *, chance: Random, reach: Reach = nothing
    ) -> None:
        path = folder / "campaign.json"
        if not path.exists():
            raise NoCampaignError(str(folder))
        self.folder = folder
        self.manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        self._key, self._chance, self._reach = key, chance, reach

    @classmethod
    def prepare(
        cls,
        folder: Path,
        source: Path,
        settings: Settings,
        key: str | None = None,
        *,
        chance: Random,
        reach: Reach = nothing,
    ) -> "Campaign":
        """Begin a campaign, or go on with that of the same input, whose settings then stand.

        Raises OtherInputError for a folder of another input, InputError for one that is no input.
        """
        whole = _sha256(source)
        if (folder / "campaign.json").exists():
            found = cls(folder, key, chance=chance, reach=reach)
            if found.manifest.input_sha256 != whole:
                raise OtherInputError(str(folder))
            return found
        requests = len(requests_of(source))
        for part in ("", "chunks", "raw"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            publish(folder / "input.jsonl", iter(lambda: file.read(_CHUNK_BYTES), b""))
        manifest = Manifest(
            id=f"campaign_{chance.getrandbits(96):024x}",
            input_sha256=whole,
            requests=requests,
            settings=settings,
        )
        reach("campaign.before_begin")
        publish(folder / "campaign.json", msgspec.json.encode(manifest))
        reach("campaign.after_begin")
        return cls(folder, key, chance=chance, reach=reach)

    @property
    def results(self) -> Path:
        """Where the merged results are once the campaign is complete."""
        return self.folder / "results.jsonl"

    def standing(self) -> Standing:
        """How it stands as far as is written down; works beside a process that goes on with it."""
        diary = Diary(self.folder, alone=False)
        return Standing(
            id=self.manifest.id,
            folder=str(self.folder),
            base_url=self.manifest.settings.base_url,
            requests=self.manifest.requests,
            rounds=diary.rounds,
            cancelled=(self.folder / "cancelled").exists(),
            chunks=tuple(diary.chunks),
            counts=diary.counts,
        )

    async def arun(
        self, on_progress: Callable[[Progress], None] | None = None, until: Until = "end"
    ) -> Mapping[str, int] | None:
        """Go on until the end, or `submitted`, or just one `turn`; the counts once complete.

        Raises CampaignInUseError where another process goes on with it, ProviderError where the
        server cannot be reached or refuses the key, CountsError where outcomes do not add up.
        """
        diary = Diary(self.folder, alone=True)
        try:
            if diary.counts is not None and self.results.exists():
                return diary.counts
            pursuit = Pursuit(
                self.folder,
                self.manifest.id,
                self.manifest.settings,
                diary,
                chance=self._chance,
                reach=self._reach,
            )
            return await pursuit.go(self._key, until, on_progress)
        finally:
            diary.close()

    def run(
        self, on_progress: Callable[[Progress], None] | None = None, until: Until = "end"
    ) -> Mapping[str, int] | None:
        """The same for code that is not async; works in a notebook too."""
        return _in_loop(lambda: asyncio.run(self.arun(on_progress, until)))

    def cancel(self) -> None:
        """Ask for no more; whoever goes on with it next, or now, cancels what is under way.

        What was answered is kept; the rest has the outcome `cancelled`.
        """
        publish(self.folder / "cancelled", b"")


def _in_loop(work: Callable[[], T]) -> T:
    """Run what needs an event loop of its own, in another thread where this one has one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(work).result()


def _sha256(path: Path) -> str:
    whole = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            whole.update(chunk)
    return whole.hexdigest()
