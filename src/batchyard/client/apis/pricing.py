"""What a model costs at a target: the user's own table first, then list prices."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from batchyard.client.apis.targets import Target, target_of_url
from batchyard.config import read_settings
from batchyard.places.prices import ListPrices
from batchyard.rules.prices import PriceRule, find_price, hundredths
from batchyard.wire.money import Price

__all__ = ["PriceOf", "prices_at", "prices_of"]

PriceOf = Callable[[str], Price | None]


def prices_at(target: Target | None, table: Iterable[PriceRule]) -> PriceOf:
    """The price of each model; list prices are lessened by the target's discount for batches.

    Of a server that is no target known here, only the table says what models cost.
    """
    own = tuple(table)
    urls = tuple(f"https://{host}/v1" for host in target.hosts) if target else ()
    discount = hundredths(target.discount if target else 0.0)
    listed = ListPrices(lambda _model: urls)

    def price_of(model: str) -> Price | None:
        found = find_price(model, own)
        if found is not None:
            return found
        price = listed.price(model)
        return price and replace(price, discount=discount)

    return price_of


def prices_of(base_url: str) -> PriceOf:
    """The same for a URL, with the table of this folder's batchyard.toml."""
    return prices_at(target_of_url(base_url), read_settings(None, {}).price)
