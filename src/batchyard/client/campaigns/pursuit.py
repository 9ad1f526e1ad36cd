"""Goes on with a campaign from wherever it is: plan, submit, watch, collect, ask again, merge."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from random import Random
from typing import Literal

from batchyard.client.apis.downloading import download_once, forget
from batchyard.client.apis.provider import BatchState, Provider, ProviderError
from batchyard.client.campaigns.asking import asked_again
from batchyard.client.campaigns.beginning import Manifest
from batchyard.client.campaigns.cutting import cut, write_chunks
from batchyard.client.campaigns.intents import Chunk, Diary, Step
from batchyard.client.campaigns.merging import Ledger
from batchyard.client.campaigns.patience import Patience
from batchyard.client.campaigns.settings import Progress, Settings
from batchyard.client.campaigns.submitting import Submitting
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.outcomes import Check
from batchyard.client.results.results import Result
from batchyard.places.faults import Reach
from batchyard.places.whole import publish

__all__ = ["Pursuit", "Until"]

_TOLD_BYTES = 16 << 20
# A file of results that is not there is looked for so often before its lines are missing.
_LOOKS_AT_FILE = 5
Until = Literal["end", "submitted", "turn"]


class Pursuit:
    """One process's work on a campaign; the diary is its own while it lasts."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        diary: Diary,
        *,
        chance: Random,
        reach: Reach,
        check: Check | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> None:
        id, settings = manifest.id, manifest.settings
        self._folder, self._id, self._settings, self._diary = folder, id, settings, diary
        self._reach, self._on_result = reach, on_result
        self._ledger = Ledger(
            folder, manifest.requests, accept_cut_off=settings.accept_cut_off, check=check
        )
        # A one for each result that `on_result` has heard of.
        self._told = bytearray(manifest.requests if on_result is not None else 0)
        self._patience = Patience(settings, chance, self._tell_of)
        self._submitting = Submitting(
            id,
            folder,
            settings,
            diary,
            patience=self._patience,
            reach=reach,
            moved=self._tell_moved,
        )
        self._on_progress: Callable[[Progress], None] | None = None
        self._asked_to_end: set[int] = set()
        self._seen: dict[int, BatchState] = {}
        self._not_there: Counter[str] = Counter()
        self._told_bytes = 0

    async def go(
        self,
        key: str | None,
        until: Until,
        on_progress: Callable[[Progress], None] | None,
    ) -> Mapping[str, int] | None:
        """Go on; the counts once complete, None where it ended before."""
        self._on_progress = on_progress
        try:
            for chunk in self._diary.chunks:
                if chunk.collected:
                    self._take_in(chunk)
            return await self._go(key, until)
        finally:
            self._ledger.close()

    async def _go(self, key: str | None, until: Until) -> Mapping[str, int] | None:
        if not self._diary.chunks:
            lines = (line for _, line in placed_lines(self._folder / "input.jsonl"))
            self._plan(enumerate(lines))
        async with _open(self._settings, key) as provider:
            looked = 0
            while True:
                cancelled = self._is_cancelled
                moved = await self._submitting.submit(provider, cancelled=cancelled)
                self._tell_progress(self._submitting.waiting_for)
                if until == "submitted":
                    return None
                moved = await self._look(provider) or moved
                self._tell_progress(self._submitting.waiting_for)
                if all(one.collected for one in self._diary.chunks):
                    counts = self._end_of_round()
                    if counts is not None:
                        return counts
                    continue
                if until == "turn":
                    return None
                looked = 0 if moved else looked + 1
                if looked:
                    await self._patience.look_again(looked)

    @property
    def _is_cancelled(self) -> bool:
        return (self._folder / "cancelled").exists()

    def _plan(self, requests: Iterable[tuple[int, bytes]]) -> None:
        """Write the chunks of the next round, then say that they are there."""
        folder, first = self._folder / "chunks", len(self._diary.chunks)
        chunks = write_chunks(
            cut(requests, self._settings.sizes, folder, first),
            self._diary.rounds + 1,
            lambda: self._reach("campaign.within_plan"),
        )
        self._reach("campaign.before_plan")
        self._diary.write(Step(did="planned", round=self._diary.rounds + 1, planned=chunks))
        self._reach("campaign.after_plan")

    async def _look(self, provider: Provider) -> bool:
        """See how the batches under way are, and fetch what those that ended have left."""
        moved = False
        for chunk in self._diary.chunks:
            if chunk.collected:
                continue
            if chunk.batch_id is not None and not chunk.is_over:
                await self._see(provider, chunk)
            if chunk.is_over:
                await self._collect(provider, chunk)
                moved = True
        return moved

    async def _see(self, provider: Provider, chunk: Chunk) -> None:
        batch_id = chunk.batch_id
        assert batch_id is not None
        if self._is_cancelled and chunk.number not in self._asked_to_end:
            self._asked_to_end.add(chunk.number)
            await self._cancel(provider, batch_id)
        try:
            state = await self._patience.bear(lambda: provider.retrieve(batch_id))
        except ProviderError as error:
            if error.status != 404:
                raise
            self._not_found(chunk)
            return
        self._seen[chunk.number] = state
        del self._not_there[batch_id]
        if not state.has_ended:
            if state.status != "validating":
                self._submitting.accepted.add(batch_id)
            return
        self._reach("campaign.before_end")
        quota = next((one for one in state.errors if one.is_quota), None)
        if state.status == "failed" and quota is not None and not self._is_cancelled:
            self._submitting.full(chunk, quota)
        else:
            step = Step(
                did="ended",
                chunk=chunk.number,
                status=state.status if quota is None else "dropped",
                output_file_id=state.output_file_id,
                error_file_id=state.error_file_id,
                errors=state.errors,
                created_at=state.created_at,
                ended_at=state.ended_at,
            )
            self._diary.write(step)
        self._reach("campaign.after_end")

    def _not_found(self, chunk: Chunk) -> None:
        """The server does not know a batch; what was only just created may be there in a while."""
        assert chunk.batch_id is not None
        self._not_there[chunk.batch_id] += 1
        if self._not_there[chunk.batch_id] >= self._settings.faults_max:
            self._diary.write(Step(did="ended", chunk=chunk.number, status="lost"))

    async def _cancel(self, provider: Provider, batch_id: str) -> None:
        """Ask for the end; a batch that has ended meanwhile says no, which is as good."""
        self._reach("campaign.before_cancel")
        try:
            await self._patience.bear(lambda: provider.cancel(batch_id))
        except ProviderError as error:
            if error.status not in (400, 404, 409):
                raise
        self._reach("campaign.after_cancel")

    async def _collect(self, provider: Provider, chunk: Chunk) -> None:
        for kind, file_id in (("output", chunk.output_file_id), ("errors", chunk.error_file_id)):
            if file_id is None:
                continue
            path = self._folder / "raw" / f"{chunk.name}.{kind}.jsonl"
            if not path.exists():
                await self._fetch(provider, file_id, path)
            self._reach("campaign.within_collect")
        self._diary.write(Step(did="collected", chunk=chunk.number))
        self._reach("campaign.after_collect")
        self._take_in(chunk)

    def _take_in(self, chunk: Chunk) -> None:
        """Read what a collected chunk holds, and tell what is final."""
        self._ledger.add(chunk)
        if self._on_result is not None:
            self._tell(self._ledger.final(chunk))

    def _tell(self, results: Iterable[Result]) -> None:
        for result in results:
            if self._on_result is not None and not self._told[result.line - 1]:
                self._told[result.line - 1] = 1
                self._on_result(result)

    async def _fetch(self, provider: Provider, file_id: str, path: Path) -> None:
        """Bring a file here; one that is gone holds nothing, and its lines will be missing."""

        def moved(done: int, total: int | None) -> None:
            self._reach("campaign.amid_download")
            self._tell_moved(f"{path.name} comes", done, total)

        self._reach("campaign.before_collect")
        for number in range(1, _LOOKS_AT_FILE + 1):
            try:
                await self._patience.bear(
                    lambda: download_once(provider, file_id, path, moved=moved)
                )
                return
            except ProviderError as error:
                if error.status != 404:
                    raise
                # What a batch has only just named may be there in a while.
                if number < _LOOKS_AT_FILE:
                    await self._patience.back_off(number, error)
        forget(path)
        publish(path, b"")

    def _end_of_round(self) -> Mapping[str, int] | None:
        """Merge, or plan a round of what is worth asking again; None in that case."""
        if not self._is_cancelled:
            asked = self._asked_again()
            for first in asked:
                self._plan(chain((first,), asked))
                return None
        self._reach("campaign.before_merge")
        counts = self._ledger.write(self._folder / "results.jsonl")
        self._reach("campaign.after_merge")
        step = Step(
            did="merged",
            counts=counts,
            duplicates=self._ledger.duplicates,
            strangers=self._ledger.strangers,
        )
        self._diary.write(step)
        if self._on_result is not None:
            self._tell(self._ledger.results())
        return counts

    def _asked_again(self) -> Iterator[tuple[int, bytes]]:
        """The requests of the next round, as they are asked in it."""
        cap = self._settings.cap_factor, self._settings.cap_max
        rounds_left = self._settings.rounds_max - self._diary.rounds
        for number, line, anew in self._ledger.again(rounds_left):
            text = asked_again(line, anew, *cap)
            if text is not None:
                yield number, text

    def _tell_of(self, error: ProviderError) -> None:
        """A call has failed, and is made again in a while."""
        self._tell_progress(str(error) or f"status {error.status}")

    def _tell_moved(self, what: str, done: int, total: int | None) -> None:
        """A part of a file has come or gone; told of now and then where it is a large one."""
        if done // _TOLD_BYTES == self._told_bytes // _TOLD_BYTES:
            return
        self._told_bytes = done
        of = f" of {total / 1e6:,.0f}" if total is not None else ""
        self._tell_progress("", f"{what}: {done / 1e6:,.0f}{of} MB")

    def _tell_progress(self, waiting_for: str, moving: str = "") -> None:
        if self._on_progress is not None:
            self._on_progress(self._progress(waiting_for, moving))

    def _progress(self, waiting_for: str, moving: str) -> Progress:
        chunks = [
            one
            for one in self._diary.chunks
            if one.round == self._diary.rounds and one.status != "split"
        ]
        done = 0
        for one in chunks:
            state = self._seen.get(one.number)
            done += one.lines if one.collected else state.completed + state.failed if state else 0
        return Progress(
            round=self._diary.rounds,
            chunks=len(chunks),
            submitted=sum(one.batch_id is not None for one in chunks),
            ended=sum(one.is_over for one in chunks),
            requests=sum(one.lines for one in chunks),
            done=done,
            waiting_for=waiting_for,
            moving=moving,
        )


@asynccontextmanager
async def _open(settings: Settings, key: str | None) -> AsyncIterator[Provider]:
    provider = Provider(settings.base_url, key, purpose=settings.purpose)
    try:
        yield provider
    finally:
        await provider.aclose()
