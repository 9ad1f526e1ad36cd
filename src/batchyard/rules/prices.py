"""Which price a model has: that of the first row of the user's own table that fits it."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from batchyard.wire.money import HUNDREDTHS, Price, picodollars

__all__ = ["OWN_TABLE", "PriceRule", "find_price", "hundredths"]

OWN_TABLE = "own table"
_HOUR_SECONDS = 3_600
_MILLION = 10**6


class PriceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[price]]` of the configuration; `model` may have `*` in it.

    Either US dollars for a million tokens: `input`, `output`, and `cached` where cached input
    costs less. Or own hardware: `gpu_hour`, the dollars for an hour of all that serves the model,
    and `output_tokens_per_second`, what it makes in a second when it is busy. `discount` is the
    part that a batch pays less, 0.5 for half.
    """

    model: str
    input: float | None = None
    cached: float | None = None
    output: float | None = None
    gpu_hour: float | None = None
    output_tokens_per_second: float | None = None
    discount: float = 0.0

    def __post_init__(self) -> None:
        by_token = self.input is not None or self.output is not None
        by_hour = self.gpu_hour is not None and self.output_tokens_per_second is not None
        if by_token == by_hour:
            raise ValueError(
                f"the price of '{self.model}' needs either input and output, or gpu_hour and "
                "output_tokens_per_second"
            )
        numbers = (self.input, self.cached, self.output, self.gpu_hour)
        if any(number is not None and number < 0 for number in numbers):
            raise ValueError(f"the price of '{self.model}' is below 0")
        if self.output_tokens_per_second is not None and self.output_tokens_per_second <= 0:
            raise ValueError(f"output_tokens_per_second of '{self.model}' must be above 0")
        if not 0 <= self.discount <= 1:
            raise ValueError(f"the discount of '{self.model}' must be within 0 and 1")


def find_price(model: str, rules: Iterable[PriceRule]) -> Price | None:
    """The price of a model by the table; None where no row fits."""
    for rule in rules:
        if fnmatchcase(model, rule.model):
            return _price(rule)
    return None


def hundredths(part: float) -> int:
    """A part of one in hundredths of a percent."""
    return round(part * HUNDREDTHS)


def _price(rule: PriceRule) -> Price:
    paid_in, paid_out = rule.input or 0.0, rule.output or 0.0
    if rule.gpu_hour is not None and rule.output_tokens_per_second is not None:
        paid_out = rule.gpu_hour / _HOUR_SECONDS / rule.output_tokens_per_second * _MILLION
    return Price(
        input=picodollars(paid_in),
        cached=picodollars(paid_in if rule.cached is None else rule.cached),
        output=picodollars(paid_out),
        discount=hundredths(rule.discount),
        source=OWN_TABLE,
    )
