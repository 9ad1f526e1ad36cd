"""Prices of tokens and what tokens cost, exactly: in picodollars, of which a dollar has 10^12."""

from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from batchyard.wire.objects import Cost

__all__ = ["HUNDREDTHS", "PICODOLLARS", "Price", "Spent", "cost_of", "picodollars"]

PICODOLLARS = 10**12
HUNDREDTHS = 10_000


class Price(Struct, frozen=True, kw_only=True):
    """What a token of a model costs in picodollars, outside of a batch.

    A batch pays less by `discount` hundredths of a percent. `source` is who says so.
    """

    input: int
    cached: int
    output: int
    discount: int = 0
    source: str

    def realtime(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """What tokens would cost outside of a batch; `cached_tokens` are among the input."""
        return (
            (input_tokens - cached_tokens) * self.input
            + cached_tokens * self.cached
            + output_tokens * self.output
        )


class Spent(Struct, frozen=True, kw_only=True):
    """Tokens of one model, and its price where one is known."""

    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    price: Price | None

    @property
    def realtime(self) -> int:
        """Picodollars outside of a batch."""
        if self.price is None:
            return 0
        return self.price.realtime(self.input_tokens, self.cached_tokens, self.output_tokens)

    @property
    def picodollars(self) -> int:
        """Picodollars in a batch."""
        if self.price is None:
            return 0
        return self.realtime * (HUNDREDTHS - self.price.discount) // HUNDREDTHS


def cost_of(spent: Iterable[Spent]) -> Cost | None:
    """The cost of all that was spent; None when no price is known of any of it."""
    all_of_it = tuple(spent)
    sources = dict.fromkeys(one.price.source for one in all_of_it if one.price is not None)
    if not sources:
        return None
    missing = dict.fromkeys(one.model for one in all_of_it if one.price is None)
    paid = sum(one.picodollars for one in all_of_it)
    realtime = sum(one.realtime for one in all_of_it)
    told = ", ".join(sources)
    if missing:
        told += f"; no price is known of {', '.join(missing)}"
    return Cost(
        usd=paid / PICODOLLARS,
        realtime_usd=realtime / PICODOLLARS,
        saved_usd=(realtime - paid) / PICODOLLARS,
        prices=told,
    )


def picodollars(usd_per_million_tokens: float | Decimal) -> int:
    """The price of one token."""
    return int(Decimal(str(usd_per_million_tokens)) * PICODOLLARS / 10**6)
