"""What a file will cost: tokens of each model, and dollars one by one and in a batch.

Input is counted, or estimated from bytes; how long answers get nobody knows, so that everything
has a low and a high end.
"""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw, Struct

from batchyard.client.examining.reading import Line
from batchyard.rules.endpoints import EMBEDDINGS
from batchyard.wire.money import PICODOLLARS, Price, Spent

__all__ = ["Estimate", "Lengths", "Lot", "Row", "estimate", "weigh"]

BY_BYTES = "a token for every 4 bytes of the bodies: within a third for English, low for others"
_BYTES_PER_TOKEN = 4
# These answer with vectors, verdicts or pictures, which are not paid by output token.
_WITHOUT_OUTPUT = (EMBEDDINGS, "/v1/moderations", "/v1/images/", "/v1/videos")

Count = Callable[[str, bytes], int]


class Lengths(Struct, frozen=True):
    """How many tokens an answer has at least, and at most where the request has no cap."""

    low: int = 20
    high: int = 1_000


class Lot(Struct):
    """All requests of one model; `uncapped` have no cap of their own."""

    requests: int = 0
    body_bytes: int = 0
    counted: int = 0
    output_low: int = 0
    output_high: int = 0
    uncapped: int = 0
    unreadable: int = 0


class Row(Struct, frozen=True, kw_only=True):
    """What one model costs; dollars are None where no price is known."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: tuple[int, int]
    realtime_usd: tuple[float, float] | None
    batch_usd: tuple[float, float] | None
    price: str | None


class Estimate(Struct, frozen=True, kw_only=True):
    """What a file costs; every pair is low and high. `unpriced` models are in no sum."""

    models: tuple[Row, ...]
    requests: int
    input_tokens: int
    output_tokens: tuple[int, int]
    realtime_usd: tuple[float, float]
    batch_usd: tuple[float, float]
    unpriced: tuple[str, ...]
    uncapped: int
    unreadable: int
    method: str
    seconds: float | None = None


class _Body(Struct, gc=False):
    model: str = ""
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


class _Row(Struct, gc=False):
    url: str
    body: Raw


def weigh(lines: Iterable[Line], lengths: Lengths, count: Count | None = None) -> dict[str, Lot]:
    """The requests of each model. Lines that cannot be read are counted under the model ""."""
    lots: dict[str, Lot] = {}
    for _, line in lines:
        try:
            row = _row(line)
            body = _body(row.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            lots.setdefault("", Lot()).unreadable += 1
            continue
        lot = lots.get(body.model)
        if lot is None:
            lot = lots[body.model] = Lot()
        raw = bytes(row.body)
        lot.requests += 1
        lot.body_bytes += len(raw)
        if count is not None:
            lot.counted += count(body.model, raw)
        if not row.url.startswith(_WITHOUT_OUTPUT):
            _add_output(lot, body, lengths)
    return lots


def estimate(
    lots: dict[str, Lot],
    price_of: Callable[[str], Price | None],
    *,
    method: str = BY_BYTES,
    rate: float | None = None,
) -> Estimate:
    """Price the lots; `rate` is how many requests are answered in a second."""
    counted = method != BY_BYTES
    rows = tuple(
        _priced(model, lot, price_of(model), counted=counted)
        for model, lot in lots.items()
        if lot.requests
    )
    requests = sum(row.requests for row in rows)
    return Estimate(
        models=rows,
        requests=requests,
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=(
            sum(row.output_tokens[0] for row in rows),
            sum(row.output_tokens[1] for row in rows),
        ),
        realtime_usd=_sum(row.realtime_usd for row in rows),
        batch_usd=_sum(row.batch_usd for row in rows),
        unpriced=tuple(row.model for row in rows if row.price is None),
        uncapped=sum(lot.uncapped for lot in lots.values()),
        unreadable=sum(lot.unreadable for lot in lots.values()),
        method=method,
        seconds=requests / rate if rate else None,
    )


def _add_output(lot: Lot, body: _Body, lengths: Lengths) -> None:
    cap = body.max_completion_tokens or body.max_output_tokens or body.max_tokens
    answers = body.n or 1
    if cap is None:
        lot.uncapped += 1
        cap = max(lengths.low, lengths.high)
    lot.output_low += min(lengths.low, cap) * answers
    lot.output_high += cap * answers


def _priced(model: str, lot: Lot, price: Price | None, *, counted: bool) -> Row:
    read = lot.counted if counted else lot.body_bytes // _BYTES_PER_TOKEN
    low, high = (
        Spent(model=model, input_tokens=read, cached_tokens=0, output_tokens=written, price=price)
        for written in (lot.output_low, lot.output_high)
    )
    return Row(
        model=model,
        requests=lot.requests,
        input_tokens=read,
        output_tokens=(lot.output_low, lot.output_high),
        realtime_usd=(low.realtime / PICODOLLARS, high.realtime / PICODOLLARS) if price else None,
        batch_usd=(low.picodollars / PICODOLLARS, high.picodollars / PICODOLLARS)
        if price
        else None,
        price=price.source if price else None,
    )


def _sum(pairs: Iterable[tuple[float, float] | None]) -> tuple[float, float]:
    known = [pair for pair in pairs if pair is not None]
    return sum(low for low, _ in known), sum(high for _, high in known)


_row = msgspec.json.Decoder(_Row).decode
_body = msgspec.json.Decoder(_Body).decode
