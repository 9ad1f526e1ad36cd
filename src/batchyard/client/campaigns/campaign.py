"""A campaign: one input file, as many batches as it takes, one result for each input, for good.

    campaign = batchyard.submit("in.jsonl", to="openai")        # or requests, and a folder
    counts = campaign.run()                                     # or: await campaign.arun()
    for result in campaign.results():
        print(result.custom_id, result.outcome, result.text)

The folder is the campaign, on a disk or at a URL (s3://bucket/one): whoever opens it again, or
submits the same input to it again, goes on with the same one, also after SIGKILL. What stands, and
will stay:

- `Campaign(folder, key, check=)` opens one, `Campaign.prepare(folder, source, settings, key,
  check=)` begins one or opens it; `batchyard.submit(source, folder, to=, key=, check=, ...)` does
  that with settings that fit the target, and submits. `batchyard.asubmit` is the same for async.
- `source` is a path of a batch file, or any iterable of requests of `batchyard.build`, of dicts,
  or of lines.
- `check(custom_id, text)` raises ValueError (or fails an `assert`) where an answer is not as it
  should be: its outcome is `invalid_output`, and it is asked again with that error shown. What the
  request's own JSON Schema says is checked without it. The folder keeps its name alone: who goes
  on without one is told so by MissingCheckError, and gives it again, or `batchyard.unchecked`.
- `run(on_progress, until, on_result=)` and `arun` go on; they return the counts by outcome
  (`succeeded, errored, expired, cancelled, invalid_output, missing`), which add up to the inputs.
- `counts`, `standing()`, `results()`, `results_path`, `bill()`, `report()` and `cancel()` ask no
  server.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from os import PathLike
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from batchyard.client.apis.pricing import PriceOf, prices_of
from batchyard.client.campaigns.beginning import (
    Manifest,
    NoCampaignError,
    OtherInputError,
    Source,
    begin,
    read_manifest,
)
from batchyard.client.campaigns.checked import note_check
from batchyard.client.campaigns.intents import Diary
from batchyard.client.campaigns.pursuit import Pursuit, Until
from batchyard.client.campaigns.settings import Progress, Settings
from batchyard.client.campaigns.sharing import (
    brought,
    cancel,
    folder_at,
    is_cancelled,
    place_of,
    take_over,
)
from batchyard.client.campaigns.spending import Bill, bill_of
from batchyard.client.campaigns.standing import Standing, html_of, told_of
from batchyard.client.results.outcomes import Check
from batchyard.client.results.results import Result, read_results
from batchyard.places.faults import Reach, nothing

__all__ = [
    "Campaign",
    "IncompleteError",
    "NoCampaignError",
    "OtherInputError",
    "Standing",
    "in_loop",
]

T = TypeVar("T")
Folder = str | PathLike[str]


class IncompleteError(Exception):
    """Not every request has its result yet."""


class Campaign:
    """One durable unit of batches in one folder; who opens the folder again goes on with it.

    `key` is used and never kept. Any method may be cut short at any moment, also by SIGKILL.
    """

    def __init__(
        self,
        folder: Folder,
        key: str | None = None,
        *,
        check: Check | None = None,
        chance: Random | None = None,
        reach: Reach = nothing,
    ) -> None:
        self.folder = folder_at(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self.key, self._check, self._reach = key, check, reach
        self._chance = chance or _chance()

    @classmethod
    def prepare(
        cls,
        folder: Folder,
        source: Source,
        settings: Settings,
        key: str | None = None,
        *,
        check: Check | None = None,
        chance: Random | None = None,
        reach: Reach = nothing,
    ) -> "Campaign":
        """Begin a campaign, or go on with that of the same input, whose settings then stand.

        Raises OtherInputError for a folder of another input, InputError for one that is no input.
        """
        chance = chance or _chance()
        folder = folder_at(folder)
        begin(folder, source, settings, chance, reach)
        return cls(folder, key, check=check, chance=chance, reach=reach)

    @property
    def place(self) -> str:
        """Where the campaign is, as it was called: its folder, or the URL of it."""
        return place_of(self.folder)

    @property
    def results_path(self) -> Path:
        """Where the merged results are once the campaign is complete."""
        return brought(self.folder, "results.jsonl") / "results.jsonl"

    @property
    def counts(self) -> Mapping[str, int] | None:
        """How many requests ended with which outcome; None until all have."""
        return self.standing().counts

    def results(self) -> Iterator[Result]:
        """A result for each request, in the order of the input; IncompleteError before the end."""
        if self.counts is None:
            raise IncompleteError(f"{self.place}: not every request has its result; run() goes on.")
        return read_results(self.results_path)

    def standing(self) -> Standing:
        """How it stands as far as is written down; works beside a process that goes on with it."""
        diary = Diary(self.folder, alone=False)
        return Standing(
            id=self.manifest.id,
            folder=self.place,
            base_url=self.manifest.settings.base_url,
            requests=self.manifest.requests,
            rounds=diary.rounds,
            cancelled=is_cancelled(self.folder),
            chunks=tuple(diary.chunks),
            counts=diary.counts,
            duplicates=diary.duplicates,
            strangers=diary.strangers,
        )

    def bill(self, price_of: PriceOf | None = None) -> Bill:
        """What was spent so far, all attempts, beside what the input was estimated to cost."""
        prices = price_of or prices_of(self.manifest.settings.base_url)
        return bill_of(brought(self.folder), self.standing().chunks, prices)

    async def arun(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        until: Until = "end",
        *,
        on_result: Callable[[Result], None] | None = None,
    ) -> Mapping[str, int] | None:
        """Go on until the end, or `submitted`, or just one `turn`; the counts once complete.

        `on_result` hears of each result once, as soon as it is final; in another run again.
        Raises CampaignInUseError where another process goes on with it, ProviderError where the
        server cannot be reached or refuses the key, CountsError where outcomes do not add up,
        MissingCheckError where it was begun with a check and opened without one.
        """
        diary = Diary(self.folder, alone=True)
        try:
            if diary.counts is not None and self.results_path.exists():
                if on_result is not None:
                    for result in self.results():
                        on_result(result)
                return diary.counts
            if getattr(self._check, "__self__", None) is not self:
                note_check(diary, self.folder, self._check)
            pursuit = Pursuit(
                self.folder,
                self.manifest,
                diary,
                chance=self._chance,
                reach=self._reach,
                check=self._check,
                on_result=on_result,
            )
            return await pursuit.go(self.key, until, on_progress)
        finally:
            diary.close()

    def run(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        until: Until = "end",
        *,
        on_result: Callable[[Result], None] | None = None,
    ) -> Mapping[str, int] | None:
        """The same for code that is not async; works in a notebook too."""
        return in_loop(self.arun(on_progress, until, on_result=on_result))

    def __repr__(self) -> str:
        return f"<Campaign {told_of(self.standing())}>"

    def _repr_html_(self) -> str:
        """How it stands, for a notebook; running the cell again shows it anew."""
        return html_of(self.standing())

    def report(
        self,
        path: Folder = "report.html",
        *,
        gold: str | None = None,
        label: str | None = None,
        rows: Any = None,
        key: str | None = None,
    ) -> Path:
        """Write one HTML file that tells how it went; IncompleteError before the end.

        `gold` is the column of right labels, to hold the field `label` of the answers against. It
        is in the campaign's own rows, in `rows` whose column `key` made the custom_ids, or in the
        requests' metadata.
        """
        if self.counts is None:
            raise IncompleteError(f"{self.place}: not every request has its result; run() goes on.")
        # Tables and prices, which are much to load, are for those who want a report.
        writing: Any = import_module("batchyard.client.report.writing")
        facts = writing.facts_of(brought(self.folder), gold=gold, label=label, rows=rows, key=key)
        written: Path = writing.write_report(facts, Path(path))
        return written

    def cancel(self) -> None:
        """Ask for no more; whoever goes on with it next, or now, cancels what is under way.

        What was answered is kept; the rest has the outcome `cancelled`.
        """
        cancel(self.folder)

    def take_over(self) -> str | None:
        """Take whoever else goes on with it for dead, and say who that was.

        That is for a campaign at a URL whose machine is gone; without it another machine waits two
        minutes.
        """
        return take_over(self.folder)


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run what needs an event loop of its own, in another thread where this one has one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as elsewhere:
        begun: Future[Callable[[], object]] = Future()
        try:
            return elsewhere.submit(lambda: asyncio.run(_stoppable(work, begun))).result()
        except KeyboardInterrupt:
            # Whoever stops the cell of a notebook wants it to stop.
            begun.result()()
            raise


async def _stoppable(work: Coroutine[Any, Any, T], begun: "Future[Callable[[], object]]") -> T:
    """Do the work, and say how another thread can stop it."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
    return await task


def _chance() -> Random:
    return Random(secrets.randbits(128))
