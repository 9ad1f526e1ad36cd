"""What the sync and the async client of old articles have in common: objects, names, warnings."""

import json
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

from openai import types

from batchyard.client.apis.provider import ENDED, status_of
from batchyard.wire.lines import BOM

__all__ = [
    "CREATE",
    "RESULTS",
    "Batch",
    "InputFile",
    "NotEndedError",
    "Result",
    "Results",
    "asked_of",
    "files_of",
    "has_ended",
    "id_of",
    "only_one",
    "opened",
    "tell",
    "whole_lines",
]

InputFile = str | PathLike[str] | bytes | IO[bytes] | IO[str]

CREATE = (
    "file = client.files.create(file=open(path, 'rb'), purpose='batch'); "
    "client.batches.create(input_file_id=file.id, endpoint='/v1/chat/completions', "
    "completion_window='24h')"
)
RESULTS = "client.files.content(batch.output_file_id), and of batch.error_file_id what failed"
_PROCESSED = "request_counts.completed + request_counts.failed"


class NotEndedError(RuntimeError):
    """The batch has no results yet."""


class BatchRequestCounts(types.BatchRequestCounts):
    """The counts, and their sum under an old name."""

    @property
    def processed(self) -> int:
        """How many requests have an outcome."""
        tell("request_counts.processed", _PROCESSED)
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

    async def __aiter__(self) -> AsyncIterator[Result]:
        for one in self:
            yield one

    def __len__(self) -> int:
        return sum(1 for _ in self.iter_lines())


def tell(old: str, today: str) -> None:
    """Warn whoever called our caller."""
    warnings.warn(f"{old} is no call of OpenAI's client. Today: {today}", DeprecationWarning, 3)


def id_of(batch: str | types.Batch) -> str:
    """The id of a batch that is named or given."""
    return batch if isinstance(batch, str) else batch.id


def only_one(asked: dict[str, Any]) -> None:
    """TypeError where a file that was uploaded is named beside one to upload."""
    if "input_file_id" in asked:
        raise TypeError("A batch takes either input_file or input_file_id.")


def has_ended(found: types.Batch, on_progress: Callable[[types.Batch], object] | None) -> bool:
    """Whether a batch has ended, whose status is then spelt in today's way; tell who listens."""
    found.status = status_of(found.status)  # type: ignore[assignment]
    if on_progress is not None:
        on_progress(found)
    return found.status in ENDED


def files_of(found: types.Batch) -> list[str]:
    """The files of a batch that has ended."""
    if status_of(found.status) not in ENDED:
        raise NotEndedError(
            f"{found.id} is {found.status}; client.batches.wait('{found.id}') waits for its end."
        )
    return [id for id in (found.output_file_id, found.error_file_id) if id]


def whole_lines(content: bytes) -> bytes:
    """Content that other lines may follow."""
    return content if content.endswith(b"\n") else content + b"\n"


def opened(given: InputFile) -> tuple[str, bytes]:
    """The name of a file and what is in it, however it was given."""
    name = "requests.jsonl"
    if isinstance(given, str | PathLike):
        return Path(given).name, Path(given).read_bytes()
    if isinstance(given, bytes):
        return name, given
    name = Path(str(getattr(given, "name", name))).name
    # What was opened as text may be no text in this machine's encoding.
    read = getattr(given, "buffer", given).read()
    return name, read.encode() if isinstance(read, str) else read


def asked_of(file_id: str, content: bytes) -> dict[str, str]:
    """What a batch of an uploaded file has to ask for."""
    return {
        "input_file_id": file_id,
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
