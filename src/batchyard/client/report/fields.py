"""The fields of answers, and which of them are labels: short, and the same few again and again."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from random import Random

from batchyard.client.report.answers import WHOLE, Answer, Named, fields_of, text_of
from batchyard.client.report.facts import Field
from batchyard.client.report.tallies import Spreading, Tally

__all__ = ["Fields", "LabelError", "find_label"]

_FIELDS_MAX = 40
_LABELS_MAX = 40
# Whole numbers that are as few as this are rather grades than measures.
_GRADES_MAX = 12
_LOOKED_AT = 200


class LabelError(ValueError):
    """No answer has the field that was named as the label."""


class _Seen:
    """What came in one field."""

    def __init__(self, chance: Random) -> None:
        self.tally, self.spreading = Tally(), Spreading(chance)
        self.texts = self.broken = 0

    def add(self, value: str | float | bool) -> None:
        """Take in a value."""
        kind = type(value)
        if kind is str or kind is bool:
            self.texts += 1
        else:
            self.spreading.add(float(value))
            self.broken += kind is float
            if self.tally.others:
                # These are measures: what each of them is as a label does not matter any more.
                self.tally.others += 1
                return
        self.tally.add(as_label(value))

    @property
    def are_labels(self) -> bool:
        """Whether few values came, most of them again and again."""
        distinct = len(self.tally.counts)
        if self.tally.others or (not self.texts and (self.broken or distinct > _GRADES_MAX)):
            return False
        return distinct <= 2 or (distinct <= _LABELS_MAX and 2 * distinct <= self.tally.total)


class Fields:
    """All fields that answers have; `closed` are those whose labels a schema lists."""

    def __init__(self, closed: Mapping[str, tuple[str, ...]], chance: Random) -> None:
        self._closed, self._chance = closed, chance
        self._seen: dict[str, _Seen] = {}

    def add(self, fields: Iterable[Named], label: str | None) -> str | None:
        """Take in the fields of an answer; returns what it has in the field `label`."""
        found = None
        for name, value in fields:
            seen = self._seen.get(name)
            if seen is None:
                if len(self._seen) >= _FIELDS_MAX and name != label:
                    continue
                seen = self._seen[name] = _Seen(self._chance)
            seen.add(value)
            if name == label:
                found = as_label(value)
        return found

    @property
    def foremost(self) -> str | None:
        """The field that is most likely meant as the label; None where none is one."""
        likely = [name for name in self._closed if name in self._seen]
        likely += [name for name, seen in self._seen.items() if seen.texts and seen.are_labels]
        return next(iter(likely), None)

    def told(self, label: str | None) -> tuple[Field, ...]:
        """The fields that are labels or numbers, the label first; LabelError where it is none."""
        if label is not None and self._seen and label not in self._seen:
            there = ", ".join(repr(name) for name in self._seen)
            raise LabelError(f"No answer has the field {label!r}; there are {there}.")
        names = [name for name in self._seen if name == label]
        names += [name for name in self._closed if name in self._seen and name != label]
        names += [name for name in self._seen if name not in names]
        fields = (self._field(name, self._seen[name], named=name == label) for name in names)
        return tuple(one for one in fields if one is not None)

    def _field(self, name: str, seen: _Seen, *, named: bool) -> Field | None:
        closed = self._closed.get(name, ())
        spread = None
        counts: Mapping[str, int] = {}
        if closed or named or seen.are_labels:
            known: Counter[str] = Counter(dict.fromkeys(closed, 0))
            known.update(seen.tally.counts)
            counts = dict(sorted(known.items(), key=lambda pair: (-pair[1], pair[0])))
        elif not seen.texts:
            spread = seen.spreading.spread()
        if not counts and spread is None:
            return None
        return Field(
            name=name,
            closed=bool(closed),
            total=seen.tally.total,
            counts=counts,
            others=seen.tally.others,
            spread=spread,
        )


def find_label(answers: Iterable[Answer], closed: Mapping[str, tuple[str, ...]]) -> str:
    """The field that the schema, or else the first answers, suggest as the label."""
    values: dict[str, set[str]] = {}
    for answer in islice(answers, _LOOKED_AT):
        for name, value in fields_of(answer, text_of(answer)):
            if isinstance(value, str | bool):
                values.setdefault(name, set()).add(as_label(value))
    likely = [name for name in closed if name in values]
    likely += [WHOLE] if WHOLE in values else []
    likely += sorted(values, key=lambda name: len(values[name]))
    if not likely:
        raise LabelError("The answers have no short text that could be a label; name a field.")
    return likely[0]


def as_label(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:g}" if value % 1 else str(int(value))
