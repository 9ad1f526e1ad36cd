"""How requests, or rows, ended: outcomes, errors by code, labels, examples, agreement."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random

from msgspec import Struct

from batchyard.client.report.agreement import Agreement, Comparing
from batchyard.client.report.answers import Named
from batchyard.client.report.facts import Fault, Field, ModelScore, Shown
from batchyard.client.report.fields import Fields
from batchyard.client.report.tallies import Sample
from batchyard.client.results.outcomes import OUTCOMES
from batchyard.client.tabular.scoring import interval

__all__ = ["Ended", "Endings"]

_SAMPLES = 6
_FAULTS_MAX = 40
_FAULT_SAMPLES = 3
_MODELS_MAX = 100
_SHOWN_CHARACTERS = 600
_CODE_CHARACTERS = 200


class Ended(Struct, frozen=True, kw_only=True, gc=False):
    """One that ended. `text` is the answer as it is shown, `question` what makes what was asked.

    `fields` are what the answer says by name; `given` is its label, where that is in no field.
    `model` is there where models are to be compared; where it `is_scored`, by `correct`.
    """

    custom_id: str
    outcome: str
    code: str
    message: str
    text: str | None
    fields: Iterable[Named]
    question: Callable[[], str]
    given: str | None = None
    gold: str | None = None
    model: str | None = None
    is_scored: bool = False
    correct: bool | None = None


class _Kind(Struct):
    """All that ended with one code."""

    count: int
    sample: Sample[Shown]


class Endings:
    """What has been seen so far. `label` is the field that is held against gold labels."""

    def __init__(
        self, closed: Mapping[str, tuple[str, ...]], label: str | None, *, compares: bool
    ) -> None:
        # The same results make the same report.
        chance = self._chance = Random(0)
        self._fields, self._label = Fields(closed, chance), label
        self._is_named = label is not None
        self._comparing = Comparing() if compares else None
        self._by_model: dict[str, list[int]] = {}
        self._outcomes: Counter[str] = Counter()
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._samples: Sample[Shown] = Sample(_SAMPLES, chance)
        self.other_faults = self.ungraded = 0

    def add(self, one: Ended) -> None:
        """Take one in."""
        self._outcomes[one.outcome] += 1
        given = None
        if one.outcome == "succeeded":
            given = self._fields.add(one.fields, self._label)
            if one.given is not None:
                given, self._is_named = one.given, False
            if one.text is not None and (place := self._samples.place()) is not None:
                self._samples.keep(place, _shown(one, one.text))
        else:
            self._blame(one)
        if self._comparing is not None:
            right = self._comparing.add(one.gold, given)
            if right is not None and not one.is_scored:
                self._score(one.model, right)
        if one.is_scored and one.correct is None and one.outcome == "succeeded":
            self.ungraded += 1
        elif one.is_scored:
            self._score(one.model, bool(one.correct))

    @property
    def outcomes(self) -> dict[str, int]:
        """How many ended with which outcome."""
        return {name: self._outcomes[name] for name in OUTCOMES}

    @property
    def samples(self) -> tuple[Shown, ...]:
        """Some of those that succeeded."""
        return tuple(self._samples.kept)

    @property
    def label(self) -> str | None:
        """The field that matters."""
        return self._fields.foremost if self._label is None else self._label

    def fields(self) -> tuple[Field, ...]:
        """What the answers say; LabelError where none has the label."""
        return self._fields.told(self._label if self._is_named else None)

    def agreement(self) -> Agreement | None:
        """How far labels and gold labels agree."""
        return None if self._comparing is None else self._comparing.agreement(self.label or "")

    def scores(self) -> Iterator[ModelScore]:
        """How far those of each model do, the best first."""
        ranked = sorted(self._by_model.items(), key=lambda pair: -pair[1][1] / pair[1][0])
        for model, (cases, right) in ranked:
            low, high = interval(right, cases)
            yield ModelScore(model=model, cases=cases, right=right, low=low, high=high)

    def faults(self) -> Iterator[Fault]:
        """The codes, the most frequent first."""
        ranked = sorted(self._kinds.items(), key=lambda pair: (-pair[1].count, pair[0]))
        for (outcome, code), kind in ranked:
            samples = tuple(kind.sample.kept)
            yield Fault(outcome=outcome, code=code, count=kind.count, samples=samples)

    def _score(self, model: str | None, is_right: bool) -> None:
        if model is not None and (model in self._by_model or len(self._by_model) < _MODELS_MAX):
            counts = self._by_model.setdefault(model, [0, 0])
            counts[0] += 1
            counts[1] += is_right

    def _blame(self, one: Ended) -> None:
        code = one.code[:_CODE_CHARACTERS]
        kind = self._kinds.get((one.outcome, code))
        if kind is None:
            if len(self._kinds) >= _FAULTS_MAX:
                self.other_faults += 1
                return
            kind = _Kind(0, Sample(_FAULT_SAMPLES, self._chance))
            self._kinds[one.outcome, code] = kind
        kind.count += 1
        if (place := kind.sample.place()) is not None:
            kind.sample.keep(place, _shown(one, one.message))


def _shown(one: Ended, answered: str) -> Shown:
    return Shown(_brief(one.custom_id), _brief(one.question()), _brief(answered))


def _brief(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
