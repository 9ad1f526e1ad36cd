"""One pass over results of any length, into the facts of a report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from batchyard.client.estimating import Estimate, Lengths, estimate, weigh
from batchyard.client.merging import lines_of
from batchyard.client.outcomes import OUTCOMES
from batchyard.client.pricing import PriceOf
from batchyard.client.reading import chunks_of
from batchyard.client.reading import lines_of as numbered_lines_of
from batchyard.client.report.agreement import Comparing
from batchyard.client.report.answers import Answer, read_body, text_of
from batchyard.client.report.facts import Asked, Facts, Fault, Flow, Shown, Spending
from batchyard.client.report.fields import Fields, find_label
from batchyard.client.report.golds import Gold
from batchyard.client.report.sources import (
    Line,
    NoResultsError,
    Plan,
    asked_of,
    body_of,
    plan_of,
    question_of,
    read_lines,
    request_of,
)
from batchyard.client.report.tallies import Sample, Spreading, Timeline
from batchyard.wire.lines import AnswerFacts, read_answer
from batchyard.wire.money import PICODOLLARS, Spent, cost_of

__all__ = ["gather"]

_SAMPLES = 6
_FAULTS_MAX = 40
_FAULT_SAMPLES = 3
_TRIES_MAX = 10
_MODELS_MAX = 100
_SHOWN_CHARACTERS = 600


def gather(
    source: Path,
    *,
    made_at: int,
    price_of: PriceOf,
    gold: Gold | None = None,
    label: str | None = None,
) -> Facts:
    """Read a campaign's folder, or a file of results, once; memory does not grow with it.

    `label` is the field to hold against `gold`; where it is not given, it is found. Raises
    NoResultsError for a campaign that is not complete, LabelError where no answer has the field.
    """
    folder = source if source.is_dir() else None
    path = source if folder is None else folder / "results.jsonl"
    if not path.exists():
        raise NoResultsError(str(source))
    asked, closed = asked_of(folder) if folder else (None, {})
    plan = plan_of(folder) if folder and asked else Plan()
    if label is None and gold is not None:
        label = find_label(_answered(path), closed)
    counting = _Counting(gold, label, closed, again=plan.rounds > 1)
    requests = _requests(folder, asked)
    for line in read_lines(path):
        counting.add(line, next(requests, b""))
    if folder is not None and plan.rounds > 1:
        for output in sorted((folder / "raw").glob("*.output.jsonl")):
            counting.pay_for(output)
    facts = counting.facts(price_of)
    weighed = _estimate(folder, price_of) if folder and asked else None
    if asked is not None and weighed is not None:
        models = {row.model: row.requests for row in weighed.models}
        asked = replace(asked, endpoints=plan.endpoints, models=models)
    return replace(
        facts,
        title=source.absolute().stem if folder else source.name,
        made_at=made_at,
        asked=asked,
        planned=plan.planned,
        batches=plan.batches,
        rounds=plan.rounds,
        estimate=weighed,
    )


class _Kind(Struct):
    """All results that ended with one code."""

    count: int
    sample: Sample[Shown]


class _Paid(Struct):
    """Tokens of one model."""

    answers: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class _Counting:
    """What has been seen of the results so far."""

    def __init__(
        self,
        gold: Gold | None,
        label: str | None,
        closed: Mapping[str, tuple[str, ...]],
        *,
        again: bool,
    ) -> None:
        # The same results make the same report.
        self._chance = Random(0)
        self._gold, self._label, self._again = gold, label, again
        self._comparing = None if gold is None else Comparing()
        self._fields = Fields(closed, self._chance)
        self._outcomes: Counter[str] = Counter()
        self._tries = [0] * _TRIES_MAX
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._samples: Sample[Shown] = Sample(_SAMPLES, self._chance)
        self._paid: dict[str, _Paid] = {}
        self._times, self._latency = Timeline(), Spreading(self._chance)
        self._lengths = Spreading(self._chance)
        self._unreadable = self._other_faults = 0

    def add(self, line: Line | None, request: bytes) -> None:
        """Take in a result, and the request it answers where that is known."""
        if line is None:
            self._unreadable += 1
            return
        self._outcomes[line.outcome] += 1
        self._tries[min(line.tries, _TRIES_MAX) - 1] += 1
        answer = self._answer_of(line, request)
        given = None
        if line.outcome == "succeeded" and answer is not None:
            text = text_of(answer)
            given = self._fields.add(answer, text, self._label)
            if text is not None and (place := self._samples.place()) is not None:
                self._samples.keep(place, _shown(line.custom_id, request, text))
        elif line.outcome != "succeeded":
            self._blame(line, request)
        if self._comparing is not None and self._gold is not None:
            self._comparing.add(self._gold.of(line.custom_id), given)

    def pay_for(self, path: Path) -> None:
        """Count the tokens of all answers in an output file, also those that did not last."""
        for line in read_lines(path):
            if line is not None and line.body is not None:
                answer = read_body(line.body)
                if answer is not None:
                    self._pay(answer, line.body)

    def facts(self, price_of: PriceOf) -> Facts:
        """All that was seen."""
        spent = [_spent(model, paid, price_of) for model, paid in self._ranked_models()]
        label = self._label if self._label is not None else self._fields.foremost
        begins, counts = self._times.slots()
        step = self._times.step
        return Facts(
            title="",
            made_at=0,
            requests=self._outcomes.total(),
            outcomes={name: self._outcomes[name] for name in OUTCOMES},
            tries=_trimmed(self._tries),
            unreadable=self._unreadable,
            asked=None,
            planned=(),
            batches=0,
            rounds=1,
            faults=tuple(self._faults()),
            other_faults=self._other_faults,
            fields=self._fields.told(self._label),
            label=label,
            agreement=None if self._comparing is None else self._comparing.agreement(label or ""),
            samples=tuple(self._samples.kept),
            spending=tuple(spending for spending, _ in spent),
            again=self._again,
            cost=cost_of(one for _, one in spent) if spent else None,
            estimate=None,
            flow=Flow(begins=begins, step=step, counts=counts) if counts else None,
            latency=self._latency.spread(),
            lengths=self._lengths.spread(),
        )

    def _answer_of(self, line: Line, request: bytes) -> Answer | None:
        """The answer of a line, counted, if it has one that was paid for."""
        if line.body is None or line.outcome not in ("succeeded", "invalid_output"):
            return None
        answer = read_body(line.body)
        if answer is None:
            return None
        if not answer.model_name:
            asked = body_of(request_of(request)) if request else {}
            answer.model = asked.get("model")
        if not self._again:
            self._pay(answer, line.body)
        if (second := answer.second) is not None:
            self._times.add(second)
        if (took := answer.seconds) is not None:
            self._latency.add(took)
        return answer

    def _pay(self, answer: Answer, body: bytes) -> None:
        told = read_answer(body) or AnswerFacts()
        model = answer.model_name
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

    def _blame(self, line: Line, request: bytes) -> None:
        kind = self._kinds.get((line.outcome, line.code))
        if kind is None:
            if len(self._kinds) >= _FAULTS_MAX:
                self._other_faults += 1
                return
            kind = _Kind(0, Sample(_FAULT_SAMPLES, self._chance))
            self._kinds[line.outcome, line.code] = kind
        kind.count += 1
        if (place := kind.sample.place()) is not None:
            kind.sample.keep(place, _shown(line.custom_id, request, line.message))

    def _faults(self) -> Iterator[Fault]:
        ranked = sorted(self._kinds.items(), key=lambda pair: (-pair[1].count, pair[0]))
        for (outcome, code), kind in ranked:
            yield Fault(
                outcome=outcome, code=code, count=kind.count, samples=tuple(kind.sample.kept)
            )

    def _ranked_models(self) -> list[tuple[str, _Paid]]:
        return sorted(self._paid.items(), key=lambda pair: (-pair[1].answers, pair[0]))


def _requests(folder: Path | None, asked: Asked | None) -> Iterator[bytes]:
    """The request of each merged result, which stand in the same order."""
    if folder is None or asked is None:
        return repeat(b"")
    return (line for _, line in lines_of(folder / "input.jsonl"))


def _answered(path: Path) -> Iterable[Answer]:
    for line in read_lines(path):
        if line is not None and line.body is not None and line.outcome == "succeeded":
            answer = read_body(line.body)
            if answer is not None:
                yield answer


def _shown(custom_id: str, request: bytes, answered: str) -> Shown:
    asked = question_of(body_of(request_of(request))) if request else ""
    return Shown(_brief(custom_id), _brief(asked), _brief(answered))


def _brief(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _spent(model: str, paid: _Paid, price_of: PriceOf) -> tuple[Spending, Spent]:
    spent = Spent(
        model=model,
        input_tokens=paid.input_tokens,
        cached_tokens=paid.cached_tokens,
        output_tokens=paid.output_tokens,
        price=price_of(model) if model else None,
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
    return spending, spent


def _estimate(folder: Path, price_of: PriceOf) -> Estimate:
    lots = weigh(numbered_lines_of(chunks_of(folder / "input.jsonl")), Lengths())
    return estimate(lots, price_of)


def _trimmed(tries: list[int]) -> tuple[int, ...]:
    while tries and not tries[-1]:
        tries = tries[:-1]
    return tuple(tries)
