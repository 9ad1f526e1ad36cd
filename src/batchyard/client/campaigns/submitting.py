"""Submits the chunks of a campaign under the quota, and never one of them twice."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from batchyard.client.apis.provider import BatchState, Provider, ProviderError, Trouble
from batchyard.client.campaigns.cutting import cut, numbers_of, write_chunks
from batchyard.client.campaigns.intents import Chunk, Diary, Step
from batchyard.client.campaigns.patience import Patience
from batchyard.client.campaigns.settings import Settings
from batchyard.client.examining.reading import placed_lines
from batchyard.places.faults import Reach

__all__ = ["CAMPAIGN_KEY", "CHUNK_KEY", "Submitting"]

# What our batches carry in their metadata, by which one is found whose id was never heard.
CAMPAIGN_KEY, CHUNK_KEY = "batchyard_campaign", "batchyard_chunk"
_REFUSALS = frozenset({400, 404, 413, 422})
# A file of which no batch can be made yet; Azure's are looked through first.
_NOT_YET = frozenset({"notrunning", "pending", "running"})
_PAUSE_SECONDS_MAX = 1_800.0
# So often a queue is said to be full before it is believed that it never has room.
_TRIES = 3


class Submitting:
    """Brings planned chunks to the server, as many as it may hold at once.

    Before each create stands a line in the diary. Where no answer to it is known, the batch is
    looked for by its metadata; where it is not found, the same create is sent again, with the
    same Idempotency-Key, by which a server of ours answers with what it made.
    """

    def __init__(
        self,
        id: str,
        folder: Path,
        settings: Settings,
        diary: Diary,
        *,
        patience: Patience,
        reach: Reach,
        moved: Callable[[str, int, int | None], object],
    ) -> None:
        self._id, self._folder, self._settings = id, folder, settings
        self._diary, self._patience, self._reach = diary, patience, reach
        self._moved = moved
        # By chunk, how many had ended when the queue was full for it, and when it is tried again.
        self._full: dict[int, tuple[int, float]] = {}
        # Batches that are past the check of the queue.
        self.accepted: set[str] = set()
        self.waiting_for = ""

    async def submit(self, provider: Provider, *, cancelled: bool) -> bool:
        """Submit what there is room for; whether anything moved."""
        moved = False
        self.waiting_for = ""
        for chunk in self._diary.chunks:
            if chunk.open and await self._recover(provider, chunk):
                moved = True
            if chunk.batch_id is not None or chunk.is_over:
                continue
            if cancelled:
                self._end(chunk, "dropped")
                moved = True
                continue
            self.waiting_for = self._hindrance(chunk)
            if self.waiting_for:
                break
            moved = await self._submit(provider, chunk) or moved
        return moved

    def _hindrance(self, chunk: Chunk) -> str:
        """What the chunk has to wait for; empty where it may be submitted."""
        over, until = self._full.get(chunk.number, (-1, 0.0))
        if over == self._over and asyncio.get_running_loop().time() < until:
            return f"the server's queue is full ({chunk.errors[0].message})"
        active = self._active
        if not active:
            return ""
        enqueued = sum(one.tokens for one in active)
        most = self._settings.enqueued_tokens_max
        if chunk.errors and any(one.errors and not self._is_accepted(one) for one in active):
            # One at a time, or those that were refused together would be so for ever.
            return "the server's queue may be full"
        if len(active) >= self._settings.batches_at_once:
            return f"{len(active)} batches are under way"
        if most is not None and enqueued + chunk.tokens > most:
            return f"{enqueued:,} of {most:,} tokens are enqueued"
        return ""

    def _is_accepted(self, chunk: Chunk) -> bool:
        return chunk.batch_id in self.accepted

    @property
    def _active(self) -> list[Chunk]:
        return [one for one in self._diary.chunks if one.batch_id and not one.is_over]

    @property
    def _over(self) -> int:
        return sum(one.is_over for one in self._diary.chunks)

    def full(self, chunk: Chunk, trouble: Trouble, asked_seconds: float = 0.0) -> None:
        """The server's queue has no room for a chunk: it waits, or is split to fit.

        It is tried again when another one has ended, and from time to time, since the queue may
        be full of what others have submitted; not before the server's `asked_seconds` are over.
        """
        limit = trouble.limit
        alone = all(one is chunk for one in self._active)
        if limit is not None and chunk.lines > 1 and _is_too_large(chunk, alone, limit):
            self._split(chunk, limit)
        elif limit is not None and chunk.lines == 1 and chunk.tokens > limit:
            self._refused(chunk, trouble)
        else:
            step = Step(did="waiting", chunk=chunk.number, errors=(trouble,), alone=alone)
            self._reach("campaign.before_wait")
            self._diary.write(step)
            self._reach("campaign.after_wait")
            pause = min(_PAUSE_SECONDS_MAX, self._settings.poll_seconds * 2 ** min(chunk.tries, 16))
            pause = max(pause, asked_seconds)
            self._full[chunk.number] = self._over, asyncio.get_running_loop().time() + pause

    def _split(self, chunk: Chunk, limit: int) -> None:
        tokens = limit if chunk.tokens > limit else chunk.tokens // 2
        folder = self._folder / "chunks"
        path = folder / f"{chunk.name}.jsonl"
        lines = (line for _, line in placed_lines(path))
        numbered = zip(numbers_of(path), lines, strict=False)
        sizes = replace(self._settings.sizes, tokens=tokens)
        planned = write_chunks(
            cut(numbered, sizes, folder, len(self._diary.chunks)),
            chunk.round,
            lambda: self._reach("campaign.within_split"),
        )
        self._reach("campaign.before_split")
        self._diary.write(Step(did="split", chunk=chunk.number, planned=planned))
        self._reach("campaign.after_split")

    async def _submit(self, provider: Provider, chunk: Chunk) -> bool:
        """Whether the chunk has a batch now, or never will."""
        try:
            if chunk.file_id is None:
                await self._upload(provider, chunk)
        except ProviderError as error:
            if error.status not in _REFUSALS or error.trouble.is_bill:
                raise
            self._refused(chunk, error.trouble)
            return True
        if not chunk.open:
            self._diary.write(Step(did="creating", chunk=chunk.number))
        self._reach("campaign.before_create")
        await self._create(provider, chunk)
        return chunk.status != "planned"

    async def _upload(self, provider: Provider, chunk: Chunk) -> None:
        name = f"{chunk.name}.jsonl"
        path = self._folder / "chunks" / name
        self._reach("campaign.before_upload")

        def moved(done: int, total: int | None) -> None:
            self._reach("campaign.amid_upload")
            self._moved(f"{name} goes up", done, total)

        file_id, status = await self._patience.bear(
            lambda: provider.uploaded(path, f"{self._id}-{chunk.name}", name, moved)
        )
        while status in _NOT_YET:
            await self._patience.wait(self._settings.poll_seconds)
            status = await self._patience.bear(lambda: provider.file_status(file_id))
        self._reach("campaign.after_upload")
        self._diary.write(Step(did="uploaded", chunk=chunk.number, file_id=file_id))
        self._reach("campaign.after_uploaded")

    async def _create(self, provider: Provider, chunk: Chunk) -> None:
        assert chunk.file_id is not None
        metadata = {**self._settings.metadata, CAMPAIGN_KEY: self._id, CHUNK_KEY: chunk.label}
        key = f"{self._id}-{chunk.label}"
        window = self._settings.window
        number = 0
        while True:
            self._diary.hold()
            try:
                state = await provider.create(chunk.file_id, chunk.url, window, metadata, key)
            except ProviderError as error:
                number += 1
                if error.trouble.is_quota:
                    self.full(chunk, error.trouble, error.pause_seconds or 0.0)
                    return
                if error.status in _REFUSALS and not error.trouble.is_bill:
                    self._refused(chunk, error.trouble)
                    return
                if self._patience.ends(error, number):
                    raise
                await self._patience.back_off(number, error)
                if await self._recover(provider, chunk):
                    return
            else:
                self._reach("campaign.after_create")
                self._created(chunk, state)
                return

    async def _recover(self, provider: Provider, chunk: Chunk) -> bool:
        """Look for the batch of a create whose answer is not known."""
        for number in range(2):
            if number:
                # What was only just created may be missing in the list for a moment.
                await self._patience.wait(self._settings.settle_seconds)
            state = await self._patience.bear(lambda: self._orphan(provider, chunk))
            if state is not None:
                self._created(chunk, state)
                return True
        return False

    async def _orphan(self, provider: Provider, chunk: Chunk) -> BatchState | None:
        async for one in provider.batches():
            if self._is_of(chunk, one):
                return one
        return None

    def _is_of(self, chunk: Chunk, one: BatchState) -> bool:
        """Whether a batch is the one that the last create of a chunk has made."""
        if one.metadata:
            told = one.metadata.get(CAMPAIGN_KEY), one.metadata.get(CHUNK_KEY)
            return told == (self._id, chunk.label)
        # Some servers drop the metadata; nobody else knows this file. Earlier tries of this chunk
        # have failed for want of room.
        return one.input_file_id == chunk.file_id and (chunk.tries == 1 or one.status != "failed")

    def _created(self, chunk: Chunk, state: BatchState) -> None:
        # An ended batch is seen to like any other, with what it left.
        self._diary.write(Step(did="created", chunk=chunk.number, batch_id=state.id))
        self._reach("campaign.after_created")

    def _refused(self, chunk: Chunk, trouble: Trouble) -> None:
        self._end(chunk, "refused", trouble)

    def _end(self, chunk: Chunk, status: str, *errors: Trouble) -> None:
        """A chunk that never becomes a batch."""
        self._reach("campaign.before_end")
        self._diary.write(Step(did="ended", chunk=chunk.number, status=status, errors=errors))
        self._reach("campaign.after_end")


def _is_too_large(chunk: Chunk, alone: bool, limit: int) -> bool:
    """Whether it will not fit an empty queue either; our count of tokens is a rough one."""
    doubtful = chunk.alone + alone >= _TRIES and chunk.tokens > limit // 3
    return chunk.tokens > limit or doubtful
