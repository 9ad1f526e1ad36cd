"""Results of batches, campaigns and files, line by line: how each request ended, and why."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from batchyard.client.apis.provider import ENDED
from batchyard.client.apis.remote import Remote
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.outcomes import LineOutcome, read_found, texts_of
from batchyard.client.results.results import result_of

__all__ = [
    "Ending",
    "Faults",
    "Joining",
    "batch_lines",
    "beside",
    "campaign_lines",
    "ending_of",
    "first_fault",
    "id_of",
    "picked",
]


_LOOKED_AT_MAX = 100_000


class Ending(Struct, frozen=True):
    """How a request ended; `code` and `message` are empty where it succeeded."""

    custom_id: str
    outcome: LineOutcome
    code: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.outcome == "succeeded"


class _CustomId(Struct):
    custom_id: str


_id_decoder = msgspec.json.Decoder(_CustomId)


def ending_of(line: bytes, *, accept_cut_off: bool = True) -> Ending | None:
    """How the request of a result line ended; None where `result_of` finds no result."""
    told = result_of(line, accept_cut_off=accept_cut_off)
    if told is None:
        return None
    if told.succeeded and not accept_cut_off:
        # A campaign may have been content with less.
        found = read_found(line, _no_fault, accept_cut_off=False)
        if found is not None:
            return Ending(found.custom_id, found.outcome, found.code, found.message)
    return Ending(told.custom_id, told.outcome, told.code, told.message)


async def batch_lines(remote: Remote, batch: dict[str, Any], *kinds: str) -> AsyncIterator[bytes]:
    """The lines of a batch's output and error files; those so far, where the server has them.

    `kinds` are `output` and `error`, both unless given.
    """
    if batch["status"] not in ENDED:
        async for line in remote.lines_so_far(str(batch["id"])):
            yield line
        return
    for kind in kinds or ("output", "error"):
        if file_id := batch.get(f"{kind}_file_id"):
            async for line in remote.lines(str(file_id)):
                yield line


def campaign_lines(folder: Path) -> Iterator[bytes]:
    """The results of a campaign; before its end the lines that were collected so far."""
    merged = folder / "results.jsonl"
    paths = [merged] if merged.exists() else sorted((folder / "raw").glob("*.jsonl"))
    for path in paths:
        for _, line in placed_lines(path):
            yield line


def first_fault(folder: Path) -> Ending | None:
    """One of the requests of a campaign that have no answer; None where the first many have."""
    endings = (ending_of(line) for line in islice(campaign_lines(folder), _LOOKED_AT_MAX))
    return next((one for one in endings if one is not None and not one.succeeded), None)


class Joining:
    """Result lines kept in a file until their requests come along, in whatever order."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def keep(self, line: bytes) -> None:
        """Keep a result line; of two for one request the first counts."""
        ending = ending_of(line)
        if ending is not None and ending.custom_id not in self._places:
            self._places[ending.custom_id] = (self._end, len(line))
            self._spool.write(line)
            self._end += len(line)

    def join(self, request: bytes) -> bytes:
        """The result line of this request, with the request in it."""
        custom_id = id_of(request)
        place = self._places.get(custom_id)
        if place is None:
            error = {"code": "missing", "message": "The batch has no line for this request."}
            told = {"custom_id": custom_id, "response": None, "error": error}
            return beside(msgspec.json.encode(told), request)
        self._spool.seek(place[0])
        return beside(self._spool.read(place[1]), request)


class Faults:
    """What has no answer, counted by code, outcome or message, with samples of each."""

    def __init__(self, by: str, samples: int) -> None:
        self._by, self._most = by, samples
        self._counts: Counter[str] = Counter()
        self._samples: dict[str, list[Ending]] = {}

    def add(self, ending: Ending) -> None:
        """Take one in."""
        name = str(getattr(ending, self._by)) or ending.outcome
        self._counts[name] += 1
        kept = self._samples.setdefault(name, [])
        if len(kept) < max(1, self._most):
            kept.append(ending)

    @property
    def total(self) -> int:
        """How many were taken in."""
        return self._counts.total()

    def groups(self) -> Iterator[tuple[str, int, list[Ending]]]:
        """Name, count and samples, the most frequent first."""
        for name, count in self._counts.most_common():
            yield name, count, self._samples[name]


def beside(result: bytes, request: bytes) -> bytes:
    """A result line with its request as a last key; neither is written anew."""
    return b'%b,"request":%b}\n' % (result[: result.rindex(b"}")], request.strip())


def id_of(request: bytes) -> str:
    """The custom_id of a request line."""
    try:
        return _id_decoder.decode(request).custom_id
    except msgspec.DecodeError:
        # Lone surrogates: allowed by JSON, refused by the decoder.
        return str(json.loads(request)["custom_id"])


def picked(line: bytes, path: str) -> Any:
    """What stands in a result line at a dotted path, such as `response.body.usage.total_tokens`.

    `text` is the answer's text, whatever the endpoint. None where nothing is there.
    """
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if path == "text":
        response = found.get("response") if isinstance(found, dict) else None
        return next(texts_of(response.get("body") if isinstance(response, dict) else None), None)
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _no_fault(_custom_id: str, _texts: Any) -> None:
    return None
