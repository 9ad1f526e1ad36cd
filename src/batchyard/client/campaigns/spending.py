"""What a campaign has spent beside what was estimated; every attempt counts, answered or not."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from batchyard.client.apis.pricing import PriceOf
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.examining.estimating import Estimate, Lengths, estimate, weigh
from batchyard.client.examining.reading import chunks_of, placed_lines
from batchyard.client.examining.reading import lines_of as numbered_lines_of
from batchyard.client.results.outcomes import parts_of
from batchyard.wire.lines import read_answer
from batchyard.wire.money import PICODOLLARS, Price, Spent

__all__ = ["Bill", "Paid", "bill_of"]


class Paid(Struct, kw_only=True):
    """Tokens of one model, as the server told them; dollars are None where no price is known."""

    model: str
    answers: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None


class Bill(Struct, frozen=True, kw_only=True):
    """What was estimated of the input, and what was spent so far."""

    estimate: Estimate
    paid: tuple[Paid, ...]

    @property
    def usd(self) -> float | None:
        """Dollars of all models; None where the price of one is not known."""
        known = [one.usd for one in self.paid if one.usd is not None]
        return sum(known) if len(known) == len(self.paid) else None

    def __str__(self) -> str:
        """Both, in a line."""
        low, high = self.estimate.output_tokens
        told = (
            f"tokens: {sum(one.input_tokens for one in self.paid):,} in, estimated "
            f"{self.estimate.input_tokens:,}; {sum(one.output_tokens for one in self.paid):,} out, "
            f"estimated {low:,} to {high:,}"
        )
        if self.usd is not None and self.paid:
            low_usd, high_usd = self.estimate.batch_usd
            told += f"; ${self.usd:,.4f}, estimated ${low_usd:,.4f} to ${high_usd:,.4f}"
        return told


class _Body(Struct, gc=False):
    model: str = ""


class _Request(Struct, gc=False):
    custom_id: str
    body: _Body


class _Response(Struct, gc=False):
    body: Raw = Raw(b"null")


def bill_of(folder: Path, chunks: Iterable[Chunk], price_of: PriceOf) -> Bill:
    """Count what the collected files of a campaign say was used."""
    found: dict[str, Paid] = {}
    for chunk in chunks:
        for model, body in _answers(folder, chunk):
            told = read_answer(body)
            if told is None:
                continue
            paid = found.setdefault(model, Paid(model=model))
            paid.answers += 1
            paid.input_tokens += told.input_tokens
            paid.cached_tokens += told.cached_tokens
            paid.output_tokens += told.output_tokens
    for paid in found.values():
        paid.usd = _dollars(paid, price_of(paid.model))
    lots = weigh(numbered_lines_of(chunks_of(folder / "input.jsonl")), Lengths())
    return Bill(estimate=estimate(lots, price_of), paid=tuple(found.values()))


def _answers(folder: Path, chunk: Chunk) -> Iterator[tuple[str, bytes]]:
    """The model and the body of every answer that a chunk has brought."""
    raw = [folder / "raw" / f"{chunk.name}.{kind}.jsonl" for kind in ("output", "errors")]
    there = [path for path in raw if path.exists()]
    if not there:
        return
    models: dict[str, str] = {}
    for _, line in placed_lines(folder / "chunks" / f"{chunk.name}.jsonl"):
        try:
            asked = _request(line)
        except msgspec.DecodeError:
            # Lone surrogates: allowed by JSON, refused by the decoder.
            asked = msgspec.convert(json.loads(line), _Request)
        models[asked.custom_id] = asked.body.model
    for path in there:
        for _, line in placed_lines(path):
            try:
                custom_id, response, _ = parts_of(line)
                yield models.get(custom_id, ""), bytes(_response(response).body)
            except (ValueError, KeyError, TypeError):
                # A line that names no request costs nothing that anybody could tell.
                continue


def _dollars(paid: Paid, price: Price | None) -> float | None:
    if price is None:
        return None
    spent = Spent(
        model=paid.model,
        input_tokens=paid.input_tokens,
        cached_tokens=paid.cached_tokens,
        output_tokens=paid.output_tokens,
        price=price,
    )
    return spent.picodollars / PICODOLLARS


_request = msgspec.json.Decoder(_Request).decode
_response = msgspec.json.Decoder(_Response).decode
