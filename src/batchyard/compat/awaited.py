"""The official async client, with the calls of old articles."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import anyio
import anyio.to_thread
import openai
from openai import types
from openai.pagination import AsyncCursorPage
from openai.resources.batches import AsyncBatches as OfficialAsyncBatches
from openai.resources.beta import AsyncBeta as OfficialAsyncBeta

from batchyard.compat.shared import (
    CREATE,
    RESULTS,
    Batch,
    InputFile,
    Results,
    asked_of,
    files_of,
    has_ended,
    id_of,
    only_one,
    opened,
    tell,
    whole_lines,
)

__all__ = ["AsyncBatches", "AsyncOpenAI"]

_ACREATE = CREATE.replace("client.", "await client.")
_ARESULTS = f"await {RESULTS}"


class AsyncBatches(OfficialAsyncBatches):
    """The official calls, `wait`, and what articles wrote, to be awaited."""

    async def create(self, *, input_file: InputFile | None = None, **asked: Any) -> types.Batch:
        """Create a batch; that of `input_file`, which is uploaded, is for what its lines ask."""
        if input_file is not None:
            tell("batches.create(input_file=...)", _ACREATE)
            only_one(asked)
            asked = await _auploaded(self._client, input_file) | asked
        return await super().create(**asked)

    async def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        tell("batches.results(...)", _ARESULTS)
        return await _aresults(self._client, batch)

    async def wait(
        self,
        batch: str | types.Batch,
        *,
        poll_interval: float = 60.0,
        max_wait: float | None = None,
        on_progress: Callable[[types.Batch], object] | None = None,
    ) -> types.Batch:
        """The batch once it has ended; see `Batches.wait`."""
        end = None if max_wait is None else time.monotonic() + max_wait
        while True:
            found = await self.retrieve(id_of(batch))
            if has_ended(found, on_progress):
                return found
            if end is not None and time.monotonic() + poll_interval > end:
                raise TimeoutError(f"{found.id} is {found.status} after {max_wait:g} seconds.")
            await anyio.sleep(poll_interval)


class AsyncBetaBatches:
    """`client.beta.batches` of the async client."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def create(self, *, input_file: InputFile | None = None, **asked: Any) -> types.Batch:
        """Create a batch, of a file that is uploaded or of one that was."""
        tell("beta.batches.create(...)", _ACREATE)
        if input_file is not None:
            asked = await _auploaded(self._client, input_file) | asked
        return await self._client.batches.create(**asked)

    async def retrieve(self, batch_id: str, **asked: Any) -> types.Batch:
        """A batch as it is now."""
        tell("beta.batches.retrieve(...)", "await client.batches.retrieve(batch_id)")
        return await self._client.batches.retrieve(batch_id, **asked)

    def list(self, **asked: Any) -> Any:
        """All batches, the newest first, for `async for`; awaited, the first page."""
        tell("beta.batches.list(...)", "client.batches.list()")
        return self._client.batches.list(**asked)

    async def cancel(self, batch_id: str, **asked: Any) -> types.Batch:
        """Ask for a batch to be cancelled."""
        tell("beta.batches.cancel(...)", "await client.batches.cancel(batch_id)")
        return await self._client.batches.cancel(batch_id, **asked)

    async def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        tell("beta.batches.results(...)", _ARESULTS)
        return await _aresults(self._client, batch)


class AsyncBeta(OfficialAsyncBeta):
    """What OpenAI's async client has in beta, and `batches`."""

    @cached_property
    def batches(self) -> AsyncBetaBatches:
        """Batches where articles looked for them."""
        return AsyncBetaBatches(self._client)


class AsyncOpenAI(openai.AsyncOpenAI):
    """OpenAI's async client with the same calls, to be awaited."""

    @cached_property
    def beta(self) -> AsyncBeta:
        """What is in beta."""
        return AsyncBeta(self)

    @cached_property
    def batches(self) -> AsyncBatches:
        """Batches."""
        return AsyncBatches(self)

    async def request(self, cast_to: Any, options: Any, **more: Any) -> Any:
        """Whatever the official client asks; every batch in an answer is one of ours."""
        return await super().request(_OURS.get(cast_to, cast_to), options, **more)


_OURS: dict[Any, Any] = {
    types.Batch: Batch,
    AsyncCursorPage[types.Batch]: AsyncCursorPage[Batch],
}


async def _aresults(client: openai.AsyncOpenAI, batch: str | types.Batch) -> Results:
    found = await client.batches.retrieve(id_of(batch))
    parts = [whole_lines((await client.files.content(id)).content) for id in files_of(found)]
    return Results(b"".join(parts))


async def _auploaded(client: openai.AsyncOpenAI, given: InputFile) -> dict[str, str]:
    name, content = await anyio.to_thread.run_sync(opened, given)
    file = await client.files.create(file=(name, content), purpose="batch")
    return asked_of(file.id, content)
