"""What would be asked, in how many batches, for how much: shown before anything is sent."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Settings
from batchyard.client.examining.estimating import Estimate, Lengths, estimate, weigh
from batchyard.client.examining.planning import Bounds, Chunk, plan, waves
from batchyard.client.examining.reading import chunks_of, lines_of
from batchyard.wire.money import Price

__all__ = ["OverBudgetError", "Preview", "preview", "span_of"]

_SHOWN = 3
_CHARACTERS = 240


class OverBudgetError(Exception):
    """The campaign may cost more than it was allowed to; nothing was submitted."""


class Preview(Struct, frozen=True, kw_only=True):
    """A campaign before it is submitted. `known` requests have their answers already."""

    base_url: str
    rows: int
    units: int
    known: int
    first: tuple[str, ...]
    batches: int
    waves: int
    bytes: int
    cost: Estimate

    def hold(self, max_usd: float | None) -> None:
        """Raise OverBudgetError where it may cost more, or where no price is known."""
        if max_usd is None or not self.cost.requests:
            return
        if self.cost.unpriced:
            raise OverBudgetError(
                f"No price is known of {', '.join(self.cost.unpriced)}, and at most "
                f"${max_usd:,.2f} may be spent."
            )
        if self.cost.batch_usd[1] > max_usd:
            raise OverBudgetError(f"It may cost {span_of(self.cost.batch_usd)}, over the cap.")

    def __str__(self) -> str:
        cost = self.cost
        told = [
            f"{self.rows:,} rows, {self.units:,} distinct requests, {self.known:,} of them "
            f"answered before: {cost.requests:,} to ask at {self.base_url}",
            *self.first,
        ]
        if cost.requests:
            told.append(
                f"plan: {self.batches:,} batch{'es' if self.batches > 1 else ''}, "
                f"{self.bytes:,} bytes"
                + (f", in {self.waves:,} waves under the queue limit" if self.waves > 1 else "")
            )
            told.append(
                f"tokens: about {cost.input_tokens:,} in, {cost.output_tokens[0]:,} to "
                f"{cost.output_tokens[1]:,} out"
            )
            told.append(_price(cost))
        return "\n".join(told)


def preview(
    source: Path, settings: Settings, price_of: Callable[[str], Price | None], **counts: int
) -> Preview:
    """Look at requests as they would be submitted; `counts` are rows, units and known."""
    cost = estimate(weigh(lines_of(chunks_of(source)), Lengths()), price_of)
    chunks: dict[int, Chunk] = {}
    first: list[str] = []
    for chunk, line in plan(lines_of(chunks_of(source)), _bounds(settings.sizes)):
        chunks[chunk.number] = chunk
        if len(first) < _SHOWN:
            first.append(_shown(line))
    return Preview(
        base_url=settings.base_url,
        first=tuple(first),
        batches=len(chunks),
        waves=len(waves(chunks.values(), settings.enqueued_tokens_max)),
        bytes=source.stat().st_size,
        cost=cost,
        **counts,
    )


def span_of(usd: tuple[float, float]) -> str:
    """Dollars from low to high."""
    low, high = (f"${one:,.2f}" if one >= 1 or not one else f"${one:.4f}" for one in usd)
    return low if low == high else f"{low} to {high}"


def _bounds(sizes: Sizes) -> Bounds:
    wanted: dict[str, Any] = {"tokens": sizes.tokens} if sizes.tokens else {}
    return Bounds(
        requests=sizes.requests,
        bytes=sizes.bytes,
        embedding_inputs=sizes.embedding_inputs,
        mixed_models=sizes.mixed_models,
        **wanted,
    )


def _shown(line: bytes) -> str:
    """A request as people read it."""
    asked: Mapping[str, Any] = msgspec.json.decode(line)
    body = asked["body"]
    told = [f"[{asked['custom_id']}] {asked['url']} {body.get('model', '')}"]
    for message in body.get("messages") or ():
        told.append(f"  {message.get('role')}: {_short(message.get('content'))}")
    if "input" in body:
        told.append(f"  input: {_short(body['input'])}")
    return "\n".join(told)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…"


def _price(cost: Estimate) -> str:
    if cost.unpriced:
        return f"price: none is known of {', '.join(cost.unpriced)}"
    sources = dict.fromkeys(row.price for row in cost.models if row.price)
    return (
        f"price: {span_of(cost.batch_usd)} in batches, {span_of(cost.realtime_usd)} one by one "
        f"({', '.join(sources)})"
    )
