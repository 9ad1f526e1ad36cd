"""Submits the chunks of a campaign under the quota, and never one of them twice."""

from pathlib import Path

from batchyard.client.intents import Chunk, Diary, Step
from batchyard.client.patience import Patience
from batchyard.client.provider import BatchState, Provider, ProviderError
from batchyard.client.settings import Settings
from batchyard.places.faults import Reach

__all__ = ["CAMPAIGN_KEY", "CHUNK_KEY", "Submitting"]

# What our batches carry in their metadata, by which one is found whose id was never heard.
CAMPAIGN_KEY, CHUNK_KEY = "batchyard_campaign", "batchyard_chunk"
_REFUSALS = frozenset({400, 404, 413, 422})


class Submitting:
    """Brings planned chunks to the server, as many as it may hold at once.

    Before each create stands a line in the diary. Where no answer to it is known, the batch is
    looked for by its metadata; where it is not found, the same create is sent again, with the
    same Idempotency-Key, by which a server of ours answers with what it made.
    """

    def __init__(
        self, id: str, folder: Path, settings: Settings, diary: Diary, *, patience: Patience
    ) -> None:
        self._id, self._folder, self._settings = id, folder, settings
        self._diary, self._patience = diary, patience
        # How many chunks had ended when the server's queue was found full for this try.
        self._full_at: dict[tuple[int, int], int] = {}
        self.waiting_for = ""

    async def submit(self, provider: Provider, reach: Reach, *, cancelled: bool) -> bool:
        """Submit what there is room for; whether anything moved."""
        moved = False
        self.waiting_for = ""
        for chunk in self._diary.chunks:
            if chunk.open and await self._recover(provider, chunk):
                moved = True
            if chunk.batch_id is not None or chunk.is_over:
                continue
            if cancelled:
                self._diary.write(Step(did="ended", chunk=chunk.number, status="dropped"))
                moved = True
                continue
            self.waiting_for = self._hindrance(chunk)
            if self.waiting_for:
                break
            moved = await self._submit(provider, reach, chunk) or moved
        return moved

    def _hindrance(self, chunk: Chunk) -> str:
        """What the chunk has to wait for; empty where it may be submitted."""
        active = [one for one in self._diary.chunks if one.batch_id and not one.is_over]
        if not active:
            return ""
        over = sum(one.is_over for one in self._diary.chunks)
        enqueued = sum(one.tokens for one in active)
        most = self._settings.enqueued_tokens_max
        if len(active) >= self._settings.batches_at_once:
            return f"{len(active)} batches are under way"
        if most is not None and enqueued + chunk.tokens > most:
            return f"{enqueued:,} of {most:,} tokens are enqueued"
        if chunk.errors and self._full_at.setdefault((chunk.number, chunk.tries), over) == over:
            return "the server's queue is full"
        return ""

    async def _submit(self, provider: Provider, reach: Reach, chunk: Chunk) -> bool:
        """Whether the chunk has a batch now, or never will."""
        try:
            if chunk.file_id is None:
                await self._upload(provider, reach, chunk)
        except ProviderError as error:
            if error.status not in _REFUSALS:
                raise
            self._refused(chunk, error)
            return True
        if not chunk.open:
            self._diary.write(Step(did="creating", chunk=chunk.number))
        reach("campaign.before_create")
        await self._create(provider, reach, chunk)
        return chunk.status != "planned"

    async def _upload(self, provider: Provider, reach: Reach, chunk: Chunk) -> None:
        name = f"{chunk.name}.jsonl"
        content = (self._folder / "chunks" / name).read_bytes()
        reach("campaign.before_upload")
        file_id = await self._patience.bear(
            lambda: provider.upload(name, content, f"{self._id}-{chunk.name}")
        )
        reach("campaign.after_upload")
        self._diary.write(Step(did="uploaded", chunk=chunk.number, file_id=file_id))

    async def _create(self, provider: Provider, reach: Reach, chunk: Chunk) -> None:
        assert chunk.file_id is not None
        metadata = {**self._settings.metadata, CAMPAIGN_KEY: self._id, CHUNK_KEY: chunk.label}
        key = f"{self._id}-{chunk.label}"
        window = self._settings.window
        number = 0
        while True:
            try:
                state = await provider.create(chunk.file_id, chunk.url, window, metadata, key)
            except ProviderError as error:
                number += 1
                if error.trouble.is_quota:
                    step = Step(did="waiting", chunk=chunk.number, errors=(error.trouble,))
                    self._diary.write(step)
                    return
                if error.status in _REFUSALS:
                    self._refused(chunk, error)
                    return
                if not error.transient or number >= self._settings.faults_max:
                    raise
                await self._patience.back_off(number)
                if await self._recover(provider, chunk):
                    return
            else:
                reach("campaign.after_create")
                self._created(chunk, state)
                reach("campaign.after_created")
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
            if one.metadata.get(CAMPAIGN_KEY) == self._id:
                if one.metadata.get(CHUNK_KEY) == chunk.label:
                    return one
            elif not one.metadata and chunk.tries == 1 and one.input_file_id == chunk.file_id:
                # Some servers drop the metadata; nobody else knows this file.
                return one
        return None

    def _created(self, chunk: Chunk, state: BatchState) -> None:
        # An ended batch is seen to like any other, with what it left.
        self._diary.write(Step(did="created", chunk=chunk.number, batch_id=state.id))

    def _refused(self, chunk: Chunk, error: ProviderError) -> None:
        step = Step(did="ended", chunk=chunk.number, status="refused", errors=(error.trouble,))
        self._diary.write(step)
