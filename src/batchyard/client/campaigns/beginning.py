"""How a campaign begins: its input, written once, and what it is."""

import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.building.requests import Request, encode
from batchyard.client.campaigns.cutting import InputError, count_requests
from batchyard.client.campaigns.intents import beginning
from batchyard.client.campaigns.settings import Settings
from batchyard.client.campaigns.sharing import found, place_of
from batchyard.places.faults import Reach
from batchyard.places.whole import publish

__all__ = ["Manifest", "NoCampaignError", "OtherInputError", "Source", "begin", "read_manifest"]

_CHUNK_BYTES = 1 << 20
# A batch file, or requests: built ones, dicts, or lines.
Source = str | os.PathLike[str] | Iterable[Request | Mapping[str, Any] | str | bytes]


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


def read_manifest(folder: Path) -> Manifest:
    """What the campaign in a folder is; NoCampaignError where there is none."""
    path = folder / "campaign.json"
    if not path.exists():
        raise NoCampaignError(place_of(folder))
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def begin(folder: Path, source: Source, settings: Settings, chance: Random, reach: Reach) -> None:
    """Begin a campaign, or find that of the same input.

    Raises OtherInputError for a folder of another input, InputError for one that is no input.
    """
    if (folder / "campaign.json").exists():
        _hold_against(folder, source)
        return
    with beginning(folder):
        if (folder / "campaign.json").exists():
            _hold_against(folder, source)
            return
        for part in ("chunks", "raw"):
            (folder / part).mkdir(exist_ok=True)
        whole = sha256()
        path = folder / "input.jsonl"
        publish(path, _heard(_parts_of(source), whole.update))
        try:
            requests = count_requests(path)
        except InputError:
            path.unlink()
            raise
        manifest = Manifest(
            id=f"campaign_{chance.getrandbits(96):024x}",
            input_sha256=whole.hexdigest(),
            requests=requests,
            settings=settings,
        )
        reach("campaign.before_begin")
        if not found(folder, msgspec.json.encode(manifest)):
            _hold_against(folder, source)
        reach("campaign.after_begin")


def _hold_against(folder: Path, source: Source) -> None:
    whole = sha256()
    for part in _parts_of(source):
        whole.update(part)
    if read_manifest(folder).input_sha256 != whole.hexdigest():
        raise OtherInputError(place_of(folder))


def _heard(parts: Iterable[bytes], hear: Any) -> Iterator[bytes]:
    for part in parts:
        hear(part)
        yield part


def _parts_of(source: Source) -> Iterator[bytes]:
    """The bytes of a file, or the lines of requests."""
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield from iter(lambda: file.read(_CHUNK_BYTES), b"")
        return
    for one in source:
        yield _line_of(one).rstrip(b"\r\n") + b"\n"


def _line_of(one: Request | Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(one, Request):
        return encode(one)
    if isinstance(one, Mapping):
        return msgspec.json.encode({"method": "POST", **one})
    return one.encode() if isinstance(one, str) else one
