"""What answers took: tokens and dollars by model, seconds, and when they came."""

from collections.abc import Iterator
from random import Random

from msgspec import Struct

from batchyard.client.apis.pricing import PriceOf
from batchyard.client.report.answers import Answer
from batchyard.client.report.facts import Flow, Spending
from batchyard.client.report.tallies import Spread, Spreading, Timeline
from batchyard.wire.lines import AnswerFacts, read_answer
from batchyard.wire.money import PICODOLLARS, Spent

__all__ = ["Expenses"]

_MODELS_MAX = 100
# A price is asked for of so many models at most, and only of what can be the name of one.
_PRICED_MAX = 12
_NAME_CHARACTERS = 200


class _Paid(Struct):
    """Tokens of one model."""

    answers: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Expenses:
    """What has been seen of the answers so far."""

    def __init__(self) -> None:
        chance = Random(0)
        self._paid: dict[str, _Paid] = {}
        self._times = Timeline()
        self._latency, self._lengths = Spreading(chance), Spreading(chance)

    def pay(self, answer: Answer, body: bytes, model: str) -> None:
        """Count the tokens of an answer; `model` was asked, where the answer names none."""
        told = read_answer(body) or AnswerFacts()
        model = (answer.model_name or model)[:_NAME_CHARACTERS]
        if model not in self._paid and len(self._paid) >= _MODELS_MAX:
            model = "(other models)"
        paid = self._paid.get(model)
        if paid is None:
            paid = self._paid[model] = _Paid()
        paid.answers += 1
        paid.input_tokens += told.input_tokens
        paid.cached_tokens += told.cached_tokens
        paid.output_tokens += told.output_tokens
        paid.reasoning_tokens += told.reasoning_tokens
        if told.output_tokens:
            self._lengths.add(told.output_tokens)

    def clock(self, answer: Answer) -> None:
        """Note when an answer came, and how long it took, as far as it says."""
        if (second := answer.second) is not None:
            self._times.add(second)
        if (took := answer.seconds) is not None:
            self._latency.add(took)

    def spent(self, price_of: PriceOf) -> Iterator[tuple[Spending, Spent]]:
        """The tokens of each model, those with the most answers first, and what they cost."""
        ranked = sorted(self._paid.items(), key=lambda pair: (-pair[1].answers, pair[0]))
        for rank, (model, paid) in enumerate(ranked):
            is_name = bool(model) and model.isascii() and model.isprintable()
            spent = Spent(
                model=model,
                input_tokens=paid.input_tokens,
                cached_tokens=paid.cached_tokens,
                output_tokens=paid.output_tokens,
                price=price_of(model) if is_name and rank < _PRICED_MAX else None,
            )
            spending = Spending(
                model=model,
                answers=paid.answers,
                input_tokens=paid.input_tokens,
                cached_tokens=paid.cached_tokens,
                output_tokens=paid.output_tokens,
                reasoning_tokens=paid.reasoning_tokens,
                usd=None if spent.price is None else spent.picodollars / PICODOLLARS,
            )
            yield spending, spent

    @property
    def latency(self) -> Spread | None:
        """How long answers took."""
        return self._latency.spread()

    @property
    def lengths(self) -> Spread | None:
        """How many tokens answers have."""
        return self._lengths.spread()

    @property
    def flow(self) -> Flow | None:
        """When answers came."""
        begins, counts = self._times.slots()
        return Flow(begins=begins, step=self._times.step, counts=counts) if counts else None
