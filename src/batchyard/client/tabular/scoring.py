"""How good the answers of models are, where the right ones are known."""

from collections.abc import Iterable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.results.answering import Reading

__all__ = ["GRADES", "Answered", "Grade", "Score", "grades_of", "interval", "scores_of"]

# In the folder of a campaign: what a judge or a function says of each row.
GRADES = "grades.jsonl"
# Of the normal distribution, for 95 of 100.
_Z = 1.959964


class Grade(Struct, frozen=True, omit_defaults=True, gc=False):
    """Whether an answer is right, and why; None where nobody has said."""

    correct: bool | None = None
    reason: str | None = None


class Answered(Struct, frozen=True, kw_only=True):
    """A row and what became of it; `value` is None unless it succeeded.

    `source` tells where the answer is from: see `Tally`. Tokens and dollars are what this row has
    cost; dollars are None where no price is known. Of `evaluate`, `correct` and what a judge gave
    as its `reason`; None where that is not known.
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
    correct: bool | None = None
    reason: str | None = None


class Score(Struct, frozen=True, kw_only=True):
    """The cases of one model that can be scored; one without an answer is not correct.

    `low` and `high` are between what `share` may be by chance alone, in 95 of 100 such trials.
    `ungraded` have an answer of which a judge or a function has not said whether it is right; they
    are none of the cases.
    """

    model: str
    cases: int
    answered: int
    correct: int
    share: float
    low: float
    high: float
    output_tokens: int
    ungraded: int = 0


def scores_of(answers: Iterable[Answered], reading: Reading) -> list[Score]:
    """The score of each model, the best first."""
    found: dict[str, _Counts] = {}
    for one in answers:
        if reading.is_ruled and one.row.get(reading.expected or "") is None:
            continue
        counts = found.setdefault(str(one.row.get("model")), _Counts())
        counts.output_tokens += one.output_tokens
        if one.value is not None and one.correct is None:
            counts.ungraded += 1
            continue
        counts.cases += 1
        counts.answered += one.value is not None
        counts.correct += bool(one.correct)
    scores = [_score(model, counts) for model, counts in found.items()]
    return sorted(scores, key=lambda one: -one.share)


def grades_of(folder: Path, reading: Reading) -> Iterator[Grade | None]:
    """What was said of each row, in their order, without an end; None where a rule says it."""
    path = folder / GRADES
    if reading.kind == "evaluate" and not reading.is_ruled and path.exists():
        with path.open("rb") as file:
            for line in file:
                yield _grade(line)
    while True:
        yield None


def interval(correct: int, cases: int) -> tuple[float, float]:
    """Wilson's interval of a share, which is right for few cases too."""
    if not cases:
        return 0.0, 1.0
    share = correct / cases
    middle = share + _Z**2 / (2 * cases)
    spread = _Z * sqrt(share * (1 - share) / cases + _Z**2 / (4 * cases**2))
    whole = 1 + _Z**2 / cases
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


class _Counts(Struct):
    """Of one model."""

    cases: int = 0
    answered: int = 0
    correct: int = 0
    output_tokens: int = 0
    ungraded: int = 0


def _score(model: str, counts: _Counts) -> Score:
    low, high = interval(counts.correct, counts.cases)
    return Score(
        model=model,
        cases=counts.cases,
        answered=counts.answered,
        correct=counts.correct,
        share=counts.correct / counts.cases if counts.cases else 0.0,
        low=low,
        high=high,
        output_tokens=counts.output_tokens,
        ungraded=counts.ungraded,
    )


_grade = msgspec.json.Decoder(Grade).decode
