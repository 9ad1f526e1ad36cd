"""List prices of hosted models, by a process of its own."""

import pytest

from batchyard.places.prices import ListPrices, is_hosted


@pytest.mark.parametrize(
    ("url", "hosted"),
    [
        ("https://api.openai.com/v1", True),
        ("http://localhost:8000/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://gpu1:8000/v1", False),
        ("http://gpu1.local/v1", False),
    ],
)
def test_own_hardware_has_no_list_price(url: str, hosted: bool) -> None:
    """Nobody asks what a model costs that one serves oneself."""
    assert hosted == is_hosted(url)


def test_hosted_models_cost_what_is_listed() -> None:
    """The provider is told by the upstream's URL; what it does not list has no price."""
    pytest.importorskip("genai_prices")
    prices = ListPrices(lambda _model: ["http://gpu1:8000/v1", "https://api.openai.com/v1"])
    found = prices.price("gpt-4o-mini")
    assert found is not None
    assert 0 < found.cached < found.input < found.output
    assert found.source.startswith("genai-prices ")
    assert found is prices.price("gpt-4o-mini")
    assert prices.price("no-such-model-at-all") is None
    assert ListPrices(lambda _model: ["http://gpu1:8000/v1"]).price("gpt-4o-mini") is None
