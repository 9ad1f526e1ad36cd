"""A few requests asked at once, before all others are submitted."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec.structs import replace

from batchyard.client.apis.provider import Provider, ProviderError
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.settings import Settings
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.outcomes import texts_of
from batchyard.client.tabular.drafting import Unit

__all__ = ["CanaryError", "Tried", "chosen", "sampled", "sing", "told"]

_AT_ONCE = 8
_POLL_SECONDS = 1.0
_CHARACTERS = 160
# What a server says that has batches only.
_NO_SUCH_ROUTE = frozenset({404, 405, 501})


class CanaryError(Exception):
    """None of the sample was answered, or the user has seen enough; nothing was submitted."""


class Tried(msgspec.Struct, frozen=True):
    """One request of the sample: the body of its answer, or why there is none."""

    custom_id: str
    body: bytes | None = None
    error: str = ""


def chosen(units: int, count: int) -> tuple[int, ...]:
    """The requests of a sample, evenly from all of them."""
    count = min(units, count)
    return tuple(number * units // count for number in range(count))


def sampled(path: Path, count: int) -> dict[int, bytes]:
    """Some requests of a file, by their place among all."""
    total = sum(1 for _ in placed_lines(path))
    wanted = frozenset(chosen(total, count))
    return {place: line for place, (_, line) in enumerate(placed_lines(path)) if place in wanted}


async def sing(lines: Mapping[int, bytes], settings: Settings, key: str | None) -> dict[int, Tried]:
    """Ask some requests in real time; where the server has no such way, as a batch of their own."""
    provider = _Asking(settings.base_url, key)
    try:
        asked = {unit: msgspec.json.decode(line, type=Unit) for unit, line in lines.items()}
        width = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(provider.ask(one, width) for one in asked.values()))
    finally:
        await provider.aclose()
    if all(one is None for one in found):
        return await _as_batch(lines, settings, key)
    return {
        unit: one or Tried(asked[unit].custom_id, error="The server has no such endpoint.")
        for unit, one in zip(asked, found, strict=True)
    }


def told(tried: Mapping[int, Tried]) -> str:
    """The sample as people read it."""
    lines = [f"canary: {len(tried):,} requests"]
    for one in tried.values():
        said = one.error if one.body is None else _said(msgspec.json.decode(one.body))
        text = " ".join(said.split())
        text = text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…"
        lines.append(f"  [{one.custom_id}] {'failed: ' if one.body is None else ''}{text}")
    return "\n".join(lines)


class _Asking(Provider):
    """The same server, asked without a batch."""

    async def ask(self, asked: Unit, width: asyncio.Semaphore) -> Tried | None:
        """The answer of one request; None where the server has no such route."""
        path = asked.url.removeprefix("/v1")
        async with width:
            try:
                return Tried(asked.custom_id, await self._call("POST", path, bytes(asked.body)))
            except ProviderError as error:
                if error.status in _NO_SUCH_ROUTE and "model" not in str(error).lower():
                    return None
                return Tried(asked.custom_id, error=str(error))


async def _as_batch(
    lines: Mapping[int, bytes], settings: Settings, key: str | None
) -> dict[int, Tried]:
    with TemporaryDirectory(prefix="batchyard-canary-") as folder:
        settings = replace(
            settings, rounds_max=1, poll_seconds=min(_POLL_SECONDS, settings.poll_seconds)
        )
        campaign = Campaign.prepare(Path(folder), lines.values(), settings, key)
        await campaign.arun()
        return {
            unit: Tried(
                one.custom_id,
                msgspec.json.encode(one.body) if one.succeeded else None,
                one.message or one.code,
            )
            for unit, one in zip(lines, campaign.results(), strict=True)
        }


def _said(body: Any) -> str:
    text = next(iter(texts_of(body)), None)
    return text if text is not None else f"{len(body.get('data') or ())} vectors"
