"""Prices of the user's own table, and exact sums."""

from typing import Any

import msgspec
import pytest

from batchyard.rules.prices import PriceRule, find_price
from batchyard.wire.money import PICODOLLARS, Price, Spent, cost_of


def test_the_first_row_that_fits_is_the_price() -> None:
    """`*` stands for any letters; cached input costs like input unless it is said."""
    rules = (
        PriceRule(model="gpt-4o-mini", input=0.15, cached=0.075, output=0.6, discount=0.5),
        PriceRule(model="gpt-*", input=2, output=8),
    )
    found = find_price("gpt-4o-mini", rules)
    assert found is not None
    assert (found.input, found.cached, found.output) == (150_000, 75_000, 600_000)
    other = find_price("gpt-5", rules)
    assert other is not None
    assert (other.input, other.cached, other.discount) == (2_000_000, 2_000_000, 0)
    assert find_price("llama", rules) is None


def test_an_hour_of_hardware_is_shared_by_its_tokens() -> None:
    """3.60 dollars an hour and 1,000 tokens a second: a million tokens for a dollar."""
    found = find_price("m", [PriceRule(model="*", gpu_hour=3.6, output_tokens_per_second=1_000)])
    assert found is not None
    assert (found.input, found.output, found.discount) == (0, 1_000_000, 0)


@pytest.mark.parametrize(
    "row",
    [
        {"model": "m"},
        {"model": "m", "gpu_hour": 1},
        {"model": "m", "input": 1, "gpu_hour": 1, "output_tokens_per_second": 1},
        {"model": "m", "input": -1},
        {"model": "m", "input": 1, "discount": 2},
        {"model": "m", "gpu_hour": 1, "output_tokens_per_second": 0},
        {"model": "m", "inputs": 1},
    ],
)
def test_a_row_that_means_nothing_is_refused(row: dict[str, Any]) -> None:
    """Whoever mistypes a price is told, and pays no phantasy."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(row, PriceRule)


def test_sums_are_exact() -> None:
    """No fraction of a token's price is lost, however many tokens there are."""
    price = Price(input=150_000, cached=75_000, output=600_000, discount=5_000, source="x")
    spent = Spent(
        model="m", input_tokens=10**15, cached_tokens=1, output_tokens=10**15, price=price
    )
    assert spent.realtime == (10**15 - 1) * 150_000 + 75_000 + 10**15 * 600_000
    cost = cost_of([spent])
    assert cost is not None
    assert cost.usd == spent.realtime // 2 / PICODOLLARS
    assert cost.usd + cost.saved_usd == pytest.approx(cost.realtime_usd)


def test_a_model_without_a_price_is_named() -> None:
    """Its tokens are no free ones."""
    price = Price(input=1, cached=1, output=1, source="own table")
    known = Spent(model="a", input_tokens=1, cached_tokens=0, output_tokens=0, price=price)
    unknown = msgspec.structs.replace(known, model="b", price=None)
    cost = cost_of([known, unknown])
    assert cost is not None
    assert cost.prices == "own table; no price is known of b"
    assert cost_of([unknown]) is None
