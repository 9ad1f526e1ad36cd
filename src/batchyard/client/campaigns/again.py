"""Asks again what failed in a batch, at a server that has no retry of its own."""

import json
from collections.abc import AsyncIterator, Mapping, Set
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batchyard.client.apis.remote import Remote
from batchyard.client.campaigns.asking import with_cap
from batchyard.client.campaigns.submitting import CAMPAIGN_KEY, CHUNK_KEY
from batchyard.client.results.answers import batch_lines, ending_of, id_of
from batchyard.rules.limits import METADATA_KEYS_MAX

__all__ = ["RETRY_OF", "ask_again", "lines_to_ask", "link_to", "linked"]

# What a retry carries in its metadata.
RETRY_OF = "batchyard_retry_of"
_LOOKED_AT_MAX = 200
# What lines without a URL ask for, where those are allowed.
_CHAT = "/v1/chat/completions"


async def lines_to_ask(
    remote: Remote, batch: Mapping[str, Any], codes: Set[str], max_tokens: int | None = None
) -> AsyncIterator[bytes]:
    """The requests of an ended batch that have no good answer, byte for byte, in their order.

    With `codes`, only those that failed with one of them. With `max_tokens`, answers that were
    cut off have failed too, and each request has room for so many.
    """
    answered: set[str] = set()
    failed: dict[str, str] = {}
    async for line in batch_lines(remote, dict(batch)):
        ending = ending_of(line, accept_cut_off=max_tokens is None)
        if ending is None:
            continue
        if ending.succeeded:
            answered.add(ending.custom_id)
        else:
            failed[ending.custom_id] = ending.code
    async for request in remote.lines(str(batch["input_file_id"])):
        id = id_of(request)
        if id not in answered and (not codes or failed.get(id, "missing") in codes):
            yield with_cap(request, max_tokens) if max_tokens else request


async def linked(remote: Remote, id: str) -> dict[str, Any] | None:
    """A retry of this batch that is under way already."""
    async for one in remote.newest_batches(_LOOKED_AT_MAX):
        metadata = one.get("metadata")
        ended = one["status"] in ("completed", "failed", "expired", "cancelled")
        if isinstance(metadata, dict) and metadata.get(RETRY_OF) == id and not ended:
            return one
    return None


def link_to(batch: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a retry: those of the old batch and its id.

    A campaign looks for its batches by theirs, and a retry is none of them.
    """
    old = batch.get("metadata")
    kept = {**old} if isinstance(old, dict) else {}
    for name in (CAMPAIGN_KEY, CHUNK_KEY):
        kept.pop(name, None)
    if len(kept) < METADATA_KEYS_MAX:
        kept[RETRY_OF] = str(batch["id"])
    return kept


async def ask_again(
    remote: Remote, batch: Mapping[str, Any], lines: AsyncIterator[bytes], key: str
) -> dict[str, Any] | None:
    """Submit these requests as a new batch, linked to the old one by its metadata; None if none."""
    id = str(batch["id"])
    with TemporaryDirectory(prefix="batchyard-retry") as folder:
        path, url = Path(folder) / "retry.jsonl", ""
        with path.open("wb") as file:
            async for line in lines:
                url = url or str(json.loads(line).get("url") or _CHAT)
                file.write(line)
        if not url:
            return None
        file_id = await remote.upload(path, f"{key}-file", f"{id}_retry.jsonl")
    # Some servers do not say what a batch was for; its lines do.
    endpoint = batch.get("endpoint") or url
    window = str(batch.get("completion_window") or "24h")
    made = await remote.create(file_id, str(endpoint), window, link_to(batch), key)
    return await remote.batch(made.id)
