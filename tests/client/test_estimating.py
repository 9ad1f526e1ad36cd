"""What a file is said to cost."""

import pytest

from batchyard.client.examining.estimating import BY_BYTES, Lengths, Lot, estimate, weigh
from batchyard.client.examining.reading import lines_of
from batchyard.rules.limits import STRICT
from batchyard.rules.validate import Scan
from batchyard.wire.money import Price, picodollars
from tests.client.lines import EMBEDDINGS, RESPONSES, chunked, line

HALF = Price(
    input=picodollars(1.0),
    cached=picodollars(1.0),
    output=picodollars(10.0),
    discount=5_000,
    source="test",
)


def weighed(text: str) -> dict[str, Lot]:
    """The lots of a text; answers have 10 to 100 tokens."""
    return weigh(lines_of(chunked(text)()), Lengths(10, 100))


def test_input_is_what_the_server_counts() -> None:
    """The tokens are those that a server holds against its quota."""
    text = "".join(line(f"{n}", user="u" * n) for n in range(50))
    scan = Scan(STRICT)
    for chunk in chunked(text)():
        scan.feed(chunk)
    found = estimate(weighed(text), lambda _model: None)
    assert (found.input_tokens, found.requests) == (scan.finish().input_tokens, 50)
    assert found.method == BY_BYTES


@pytest.mark.parametrize(
    ("text", "output", "uncapped"),
    [
        (line("a"), (10, 100), 1),
        (line("a", max_tokens=50), (10, 50), 0),
        (line("a", max_completion_tokens=5), (5, 5), 0),
        (line("a", max_completion_tokens=5_000), (10, 5_000), 0),
        (line("a", n=3), (30, 300), 1),
        (line("a", RESPONSES, max_output_tokens=70), (10, 70), 0),
        (line("a", EMBEDDINGS), (0, 0), 0),
    ],
)
def test_output_is_between_short_and_the_cap(
    text: str, output: tuple[int, int], uncapped: int
) -> None:
    """A request's own cap is the high end; vectors have no output."""
    found = estimate(weighed(text), lambda _model: None)
    assert (found.output_tokens, found.uncapped) == (output, uncapped)


def test_a_batch_pays_less() -> None:
    """Dollars by the price, in a batch less its discount."""
    found = estimate(weighed(line("a", max_tokens=50)), lambda _model: HALF, rate=0.5)
    (row,) = found.models
    dear = (row.input_tokens + 10 * 10) / 10**6, (row.input_tokens + 10 * 50) / 10**6
    assert found.realtime_usd == pytest.approx(dear)
    assert found.batch_usd == pytest.approx((dear[0] / 2, dear[1] / 2))
    assert (row.price, found.seconds) == ("test", 2.0)


def test_what_has_no_price_is_named() -> None:
    """A model without a price is in no sum, and is told."""
    text = line("a", model="m1") + line("b", model="m2") + "oops\n"
    found = estimate(weighed(text), lambda model: HALF if model == "m1" else None)
    assert (found.unpriced, found.unreadable) == (("m2",), 1)
    assert found.batch_usd == found.models[0].batch_usd
