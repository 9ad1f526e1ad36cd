"""How good the answers of models are, where the right ones are known."""

from collections.abc import Iterable
from math import sqrt
from typing import Any

from msgspec import Struct

from batchyard.client.results.answering import Reading

__all__ = ["Answered", "Score", "interval", "scores_of"]

# Of the normal distribution, for 95 of 100.
_Z = 1.959964


class Answered(Struct, frozen=True, kw_only=True):
    """A row and what became of it; `value` is None unless it succeeded.

    `source` tells where the answer is from: see `Tally`. Tokens and dollars are what this row has
    cost; dollars are None where no price is known.
    """

    custom_id: str
    row: dict[str, Any]
    outcome: str
    value: Any = None
    error: str | None = None
    source: str = "asked"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0


class Score(Struct, frozen=True, kw_only=True):
    """The cases of one model that have a right answer; one without an answer is not correct.

    `low` and `high` are between what `share` may be by chance alone, in 95 of 100 such trials.
    """

    model: str
    cases: int
    answered: int
    correct: int
    share: float
    low: float
    high: float
    output_tokens: int


def scores_of(answers: Iterable[Answered], reading: Reading) -> list[Score]:
    """The score of each model, the best first."""
    found: dict[str, list[int]] = {}
    for one in answers:
        if one.row.get(reading.expected or "") is None:
            continue
        counts = found.setdefault(str(one.row.get("model")), [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += one.value is not None
        counts[2] += bool(reading.columns(one.value, one.row).get("correct"))
        counts[3] += one.output_tokens
    scores = [_score(model, *counts) for model, counts in found.items()]
    return sorted(scores, key=lambda one: -one.share)


def interval(correct: int, cases: int) -> tuple[float, float]:
    """Wilson's interval of a share, which is right for few cases too."""
    share = correct / cases
    middle = share + _Z**2 / (2 * cases)
    spread = _Z * sqrt(share * (1 - share) / cases + _Z**2 / (4 * cases**2))
    whole = 1 + _Z**2 / cases
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def _score(model: str, cases: int, answered: int, correct: int, tokens: int) -> Score:
    low, high = interval(correct, cases)
    return Score(
        model=model,
        cases=cases,
        answered=answered,
        correct=correct,
        share=correct / cases,
        low=low,
        high=high,
        output_tokens=tokens,
    )
