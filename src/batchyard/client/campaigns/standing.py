"""How a campaign stands, as a value, in a line, and in a table for a notebook."""

from collections import Counter
from collections.abc import Mapping
from html import escape

from msgspec import Struct

from batchyard.client.campaigns.intents import Chunk

__all__ = ["Standing", "html_of", "oddities_of", "stage_of", "told_of"]

# More batches than this are not shown one by one.
_ROWS_MAX = 50


class Standing(Struct, frozen=True, kw_only=True):
    """How a campaign stands, by its folder alone; `counts` are there once it is complete.

    So are `duplicates`, lines of results beyond one for a request in a batch, and `strangers`,
    those that name no request of their batch.
    """

    id: str
    folder: str
    base_url: str
    requests: int
    rounds: int
    cancelled: bool
    chunks: tuple[Chunk, ...]
    counts: Mapping[str, int] | None
    duplicates: int = 0
    strangers: int = 0


def stage_of(chunk: Chunk) -> str:
    """How far a chunk is, in a word."""
    return "collected" if chunk.collected and chunk.status == "completed" else chunk.status


def told_of(standing: Standing) -> str:
    """How it stands, in a line."""
    counts = standing.counts
    if counts is None:
        counts = Counter(f"batches {stage_of(one)}" for one in standing.chunks)
    told = [standing.folder, f"{standing.requests:,} requests"]
    told += [f"{count:,} {name}" for name, count in counts.items() if count]
    told += oddities_of(standing)
    return " · ".join(told) + (" · cancelled" if standing.cancelled else "")


def oddities_of(standing: Standing) -> list[str]:
    """What a provider has written that no request needed."""
    odd = {"duplicate lines": standing.duplicates, "lines of nobody": standing.strangers}
    return [f"{count:,} {name}" for name, count in odd.items() if count]


def html_of(standing: Standing) -> str:
    """A line and a table of the batches, without a script or a style of its own."""
    rows = "".join(_row(one) for one in standing.chunks[:_ROWS_MAX])
    left = len(standing.chunks) - _ROWS_MAX
    if left > 0:
        rows += f"<tr><td colspan=5>and {left:,} more</td></tr>"
    heads = "".join(f"<th>{name}</th>" for name in ("", "round", "requests", "status", "batch"))
    return (
        f"<div><b>{escape(told_of(standing))}</b><br>{escape(standing.base_url)}"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(chunk: Chunk) -> str:
    trouble = next((f"{one.code}: {one.message}" for one in chunk.errors), "")
    status = stage_of(chunk) + (f" ({trouble})" if trouble else "")
    told = (chunk.name, f"{chunk.round}", f"{chunk.lines:,}", status, chunk.batch_id or "")
    return "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in told) + "</tr>"
