"""A process that says what a provider asks for a model, by the package genai-prices.

It is started with the URL of an upstream and a model, prints one JSON object, and ends: the
package takes a second and 100 MB to load, which no other process should bear.
"""

import sys
from decimal import Decimal
from typing import Any

import msgspec
from genai_prices import Usage, __version__, calc_price

from batchyard.wire.money import Price, picodollars

__all__ = ["listed_price"]


def listed_price(url: str, model: str) -> Price | None:
    """The list price, without surcharges for long contexts; None where there is none."""
    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1), model_ref=model, provider_api_url=url
        )
    except LookupError:
        return None
    asked = found.model_price
    paid_in, cached, paid_out = (
        _base(getattr(asked, name, None))
        for name in ("input_mtok", "cache_read_mtok", "output_mtok")
    )
    if paid_in is None:
        return None
    return Price(
        input=picodollars(paid_in),
        cached=picodollars(paid_in if cached is None else cached),
        output=picodollars(paid_out or Decimal(0)),
        source=f"genai-prices {__version__}",
    )


def _base(price: Any) -> Decimal | None:
    """The price itself, or that of the lowest tier."""
    base = getattr(price, "base", price)
    return base if isinstance(base, Decimal) else None


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(listed_price(*sys.argv[1:3])))
