"""The official client, with the calls of old articles."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import openai
from openai import types
from openai.pagination import SyncCursorPage
from openai.resources.batches import Batches as OfficialBatches
from openai.resources.beta import Beta as OfficialBeta

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

__all__ = ["Batches", "OpenAI"]


class Batches(OfficialBatches):
    """The official calls, `wait`, and what articles wrote."""

    def create(self, *, input_file: InputFile | None = None, **asked: Any) -> types.Batch:
        """Create a batch; that of `input_file`, which is uploaded, is for what its lines ask."""
        if input_file is not None:
            tell("batches.create(input_file=...)", CREATE)
            only_one(asked)
            asked = _uploaded(self._client, input_file) | asked
        return super().create(**asked)

    def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        tell("batches.results(...)", RESULTS)
        return _results(self._client, batch)

    def wait(
        self,
        batch: str | types.Batch,
        *,
        poll_interval: float = 60.0,
        max_wait: float | None = None,
        on_progress: Callable[[types.Batch], object] | None = None,
    ) -> types.Batch:
        """The batch once it is completed, failed, expired or cancelled, however that is spelt.

        Raises TimeoutError after `max_wait` seconds; the batch goes on all the same.
        """
        end = None if max_wait is None else time.monotonic() + max_wait
        while True:
            found = self.retrieve(id_of(batch))
            if has_ended(found, on_progress):
                return found
            if end is not None and time.monotonic() + poll_interval > end:
                raise TimeoutError(f"{found.id} is {found.status} after {max_wait:g} seconds.")
            time.sleep(poll_interval)


class BetaBatches:
    """`client.beta.batches`, which OpenAI's client never had; each call tells today's."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client

    def create(self, *, input_file: InputFile | None = None, **asked: Any) -> types.Batch:
        """Create a batch, of a file that is uploaded or of one that was."""
        tell("beta.batches.create(...)", CREATE)
        if input_file is not None:
            asked = _uploaded(self._client, input_file) | asked
        return self._client.batches.create(**asked)

    def retrieve(self, batch_id: str, **asked: Any) -> types.Batch:
        """A batch as it is now."""
        tell("beta.batches.retrieve(...)", "client.batches.retrieve(batch_id)")
        return self._client.batches.retrieve(batch_id, **asked)

    def list(self, **asked: Any) -> SyncCursorPage[types.Batch]:
        """All batches, the newest first."""
        tell("beta.batches.list(...)", "client.batches.list()")
        return self._client.batches.list(**asked)

    def cancel(self, batch_id: str, **asked: Any) -> types.Batch:
        """Ask for a batch to be cancelled."""
        tell("beta.batches.cancel(...)", "client.batches.cancel(batch_id)")
        return self._client.batches.cancel(batch_id, **asked)

    def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        tell("beta.batches.results(...)", RESULTS)
        return _results(self._client, batch)


class Beta(OfficialBeta):
    """What OpenAI's client has in beta, and `batches`."""

    @cached_property
    def batches(self) -> BetaBatches:
        """Batches where articles looked for them."""
        return BetaBatches(self._client)


class OpenAI(openai.OpenAI):
    """OpenAI's client, in which calls of old articles work, each with a DeprecationWarning."""

    @cached_property
    def beta(self) -> Beta:
        """What is in beta."""
        return Beta(self)

    @cached_property
    def batches(self) -> Batches:
        """Batches."""
        return Batches(self)

    def request(self, cast_to: Any, options: Any, **more: Any) -> Any:
        """Whatever the official client asks; every batch in an answer is one of ours."""
        return super().request(_OURS.get(cast_to, cast_to), options, **more)


_OURS: dict[Any, Any] = {
    types.Batch: Batch,
    SyncCursorPage[types.Batch]: SyncCursorPage[Batch],
}


def _results(client: openai.OpenAI, batch: str | types.Batch) -> Results:
    found = client.batches.retrieve(id_of(batch))
    return Results(b"".join(whole_lines(client.files.content(id).read()) for id in files_of(found)))


def _uploaded(client: openai.OpenAI, given: InputFile) -> dict[str, str]:
    """Upload a file, and say what a batch of it has to ask for."""
    name, content = opened(given)
    file = client.files.create(file=(name, content), purpose="batch")
    return asked_of(file.id, content)
