"""Numbers that satisfy a JSON schema."""

import math
from fractions import Fraction
from random import Random
from typing import Any

__all__ = ["make_number"]

# How far numbers go where a schema leaves an end open, and the steps that decimals take.
_REACH = 100
_STEPS_MIN = 100


def make_number(schema: dict[str, Any], kind: str, chance: Random) -> int | float:
    """A number within all bounds of the schema; raises ValueError where there is none."""
    least, most = _ends(schema)
    step = _step(schema, kind, most - least)
    first, last = math.ceil(least / step), math.floor(most / step)
    # An end that is not to be reached is one step away.
    if _exact(schema.get("exclusiveMinimum")) == first * step:
        first += 1
    if _exact(schema.get("exclusiveMaximum")) == last * step:
        last -= 1
    if first > last:
        raise ValueError(f"no {kind} from {float(least)} to {float(most)}")
    number = chance.randint(first, last) * step
    return int(number) if number.denominator == 1 else float(number)


def _ends(schema: dict[str, Any]) -> tuple[Fraction, Fraction]:
    lower = [_exact(schema.get(name)) for name in ("minimum", "exclusiveMinimum")]
    upper = [_exact(schema.get(name)) for name in ("maximum", "exclusiveMaximum")]
    least = max((end for end in lower if end is not None), default=None)
    most = min((end for end in upper if end is not None), default=None)
    reach = _REACH * max(Fraction(1), _exact(schema.get("multipleOf")) or Fraction(0))
    if least is None:
        least = Fraction(0) if most is None or most >= 1 else most - reach
    return least, least + reach if most is None else most


def _step(schema: dict[str, Any], kind: str, width: Fraction) -> Fraction:
    multiple = _exact(schema.get("multipleOf"))
    if kind == "integer":
        # A multiple of 0.5 that is whole is a multiple of 1, one of 1.5 a multiple of 3.
        return Fraction((multiple or Fraction(1)).numerator)
    if multiple is not None:
        return multiple
    step = Fraction(1, _STEPS_MIN)
    while 0 < width < _STEPS_MIN * step:
        step /= 10
    return step


def _exact(number: Any) -> Fraction | None:
    """The decimal that was written, not the binary fraction next to it."""
    return None if number is None else Fraction(str(number))
