"""The official client, plus the calls of old articles that it never had; new code needs none."""

import json
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import IO, Any

from batchyard.client.apis.provider import ENDED, status_of
from batchyard.client.examining.reading import BOM

try:
    import openai
    from openai import types
    from openai.pagination import SyncCursorPage
    from openai.resources.batches import Batches as OfficialBatches
    from openai.resources.beta import Beta as OfficialBeta
except ImportError as error:
    raise ImportError(
        "batchyard.compat is OpenAI's client and more: pip install 'batchyard[openai]'."
    ) from error

__all__ = ["Batch", "Batches", "NotEndedError", "OpenAI", "Result", "Results"]

InputFile = str | PathLike[str] | bytes | IO[bytes] | IO[str]

_CREATE = (
    "file = client.files.create(file=open(path, 'rb'), purpose='batch'); "
    "client.batches.create(input_file_id=file.id, endpoint='/v1/chat/completions', "
    "completion_window='24h')"
)
_RESULTS = "client.files.content(batch.output_file_id), and of batch.error_file_id what failed"
_PROCESSED = "request_counts.completed + request_counts.failed"


class NotEndedError(RuntimeError):
    """The batch has no results yet."""


class BatchRequestCounts(types.BatchRequestCounts):
    """The counts, and their sum under an old name."""

    @property
    def processed(self) -> int:
        """How many requests have an outcome."""
        _tell("request_counts.processed", _PROCESSED)
        return self.completed + self.failed


class Batch(types.Batch):
    """A batch whose counts have the old name too."""

    request_counts: BatchRequestCounts | None = None


class Result(dict[str, Any]):
    """One line of results: keys may be written as attributes, at any depth."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"This result has no '{name}'; it has {list(self)}.") from None


class Results:
    """The lines of a batch's output file and then of its error file, as text and one by one."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def text(self) -> str:
        """All lines."""
        return self.content.decode()

    def read(self) -> bytes:
        """All lines, as of a file."""
        return self.content

    def iter_lines(self) -> Iterator[str]:
        """Each line, without its end."""
        return (line.decode() for line in self.content.split(b"\n") if line.strip())

    def __iter__(self) -> Iterator[Result]:
        return (json.loads(line, object_hook=Result) for line in self.iter_lines())

    def __len__(self) -> int:
        return sum(1 for _ in self.iter_lines())


class Batches(OfficialBatches):
    """The official calls, `wait`, and what articles wrote."""

    def create(self, *, input_file: InputFile | None = None, **asked: Any) -> types.Batch:
        """Create a batch; that of `input_file`, which is uploaded, is for what its lines ask."""
        if input_file is not None:
            _tell("batches.create(input_file=...)", _CREATE)
            if "input_file_id" in asked:
                raise TypeError("A batch takes either input_file or input_file_id.")
            asked = _uploaded(self._client, input_file) | asked
        return super().create(**asked)

    def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        _tell("batches.results(...)", _RESULTS)
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
            found = self.retrieve(_id_of(batch))
            found.status = status_of(found.status)  # type: ignore[assignment]
            if on_progress is not None:
                on_progress(found)
            if found.status in ENDED:
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
        _tell("beta.batches.create(...)", _CREATE)
        if input_file is not None:
            asked = _uploaded(self._client, input_file) | asked
        return self._client.batches.create(**asked)

    def retrieve(self, batch_id: str, **asked: Any) -> types.Batch:
        """A batch as it is now."""
        _tell("beta.batches.retrieve(...)", "client.batches.retrieve(batch_id)")
        return self._client.batches.retrieve(batch_id, **asked)

    def list(self, **asked: Any) -> SyncCursorPage[types.Batch]:
        """All batches, the newest first."""
        _tell("beta.batches.list(...)", "client.batches.list()")
        return self._client.batches.list(**asked)

    def cancel(self, batch_id: str, **asked: Any) -> types.Batch:
        """Ask for a batch to be cancelled."""
        _tell("beta.batches.cancel(...)", "client.batches.cancel(batch_id)")
        return self._client.batches.cancel(batch_id, **asked)

    def results(self, batch: str | types.Batch) -> Results:
        """All results of a batch that has ended; NotEndedError for one that has not."""
        _tell("beta.batches.results(...)", _RESULTS)
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


def _tell(old: str, today: str) -> None:
    """Warn whoever called our caller."""
    warnings.warn(f"{old} is no call of OpenAI's client. Today: {today}", DeprecationWarning, 3)


def _id_of(batch: str | types.Batch) -> str:
    return batch if isinstance(batch, str) else batch.id


def _results(client: openai.OpenAI, batch: str | types.Batch) -> Results:
    found = client.batches.retrieve(_id_of(batch))
    if status_of(found.status) not in ENDED:
        raise NotEndedError(
            f"{found.id} is {found.status}; client.batches.wait('{found.id}') waits for its end."
        )
    ids = filter(None, (found.output_file_id, found.error_file_id))
    parts = [client.files.content(id).read() for id in ids]
    return Results(b"".join(one if one.endswith(b"\n") else one + b"\n" for one in parts))


def _uploaded(client: openai.OpenAI, given: InputFile) -> dict[str, str]:
    """Upload a file, and say what a batch of it has to ask for."""
    name = "requests.jsonl"
    if isinstance(given, str | PathLike):
        name, content = Path(given).name, Path(given).read_bytes()
    elif isinstance(given, bytes):
        content = given
    else:
        name = Path(str(getattr(given, "name", name))).name
        # What was opened as text may be no text in this machine's encoding.
        read = getattr(given, "buffer", given).read()
        content = read.encode() if isinstance(read, str) else read
    file = client.files.create(file=(name, content), purpose="batch")
    return {
        "input_file_id": file.id,
        "endpoint": _endpoint_of(content),
        "completion_window": "24h",
    }


def _endpoint_of(content: bytes) -> str:
    """What the first line asks for; where that cannot be told, the server says what is wrong."""
    first = content.removeprefix(BOM).lstrip().split(b"\n", 1)[0]
    try:
        return str(json.loads(first)["url"])
    except (ValueError, KeyError, TypeError):
        return "/v1/chat/completions"
