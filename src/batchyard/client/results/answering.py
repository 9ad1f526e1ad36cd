"""What an answer says: as a value, and as columns of a table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.results.scorers import Scorer, plain, unfenced

__all__ = ["Reading", "ReadingError", "flat", "flat_names"]


class ReadingError(ValueError):
    """An answer is not what was asked for; the message may be shown to the model."""


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the answers of a campaign are read.

    `kind` is the one-liner that asked. `column` is where a text goes, `labels` are what there is
    to choose from, `schema` is the shape of an extract, `expected` the column of right answers.
    `scorer` says what is right; without it what is the same. `placeholders`: those of the text
    that was asked about must be in the answer.
    """

    kind: str
    column: str = "answer"
    labels: tuple[str, ...] = ()
    multiple: bool = False
    schema: dict[str, Any] | None = None
    expected: str | None = None
    placeholders: bool = False
    scorer: Scorer | None = None

    def value(self, text: str) -> Any:
        """The value of an answer's text; ReadingError where it is none."""
        if self.labels:
            return self._labels(text) if self.multiple else self._label(text)
        if self.schema is not None:
            found = _json(text)
            if not isinstance(found, dict):
                raise ReadingError("The answer must be a JSON object.")
            return found
        if not text.strip():
            raise ReadingError("The answer is empty.")
        return text

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a value fills."""
        if self.schema is not None and not self.labels:
            return flat_names(self.schema)
        if self.scorer is not None and self.scorer.kind == "judge":
            return (self.column, "correct", "reason")
        return (self.column, "correct") if self.expected else (self.column,)

    def columns(self, value: Any) -> dict[str, Any]:
        """A value as columns."""
        if value is None:
            return {}
        if self.schema is not None and not self.labels:
            return flat(value, self.names)
        return {self.column: value}

    @property
    def is_ruled(self) -> bool:
        """Whether it is a rule that says what is right, and no judge or function."""
        return self.expected is not None and (self.scorer is None or self.scorer.is_rule)

    def is_right(self, value: Any, row: Mapping[str, Any]) -> bool | None:
        """Whether a value is the expected one; None where no rule says so."""
        expected = row.get(self.expected or "")
        if value is None or expected is None or not self.is_ruled:
            return None
        return (self.scorer or Scorer()).is_right(value, expected)

    def _label(self, text: str) -> str:
        found = _json(text) if text.lstrip()[:1] in ("{", "`") else text
        if isinstance(found, dict):
            found = found.get("label")
        return self._known(found)

    def _labels(self, text: str) -> list[str]:
        found = _json(text)
        if isinstance(found, dict):
            found = found.get("labels")
        if not isinstance(found, list):
            raise ReadingError("The answer must have a list `labels`.")
        return list(dict.fromkeys(self._known(one) for one in found))

    def _known(self, said: object) -> str:
        """The label that was meant; capitals, quotes and a full stop do not matter."""
        if isinstance(said, str):
            if said in self.labels:
                return said
            meant = [label for label in self.labels if plain(said) == plain(label)]
            if len(meant) == 1:
                return meant[0]
        raise ReadingError(f"{said!r} is none of the labels {', '.join(self.labels)}.")


def flat(value: Mapping[str, Any], columns: Collection[str], before: str = "") -> dict[str, Any]:
    """An object as columns: inner objects by names such as `address_city`, lists as they are.

    An object that is one of the `columns` has keys of its own, and stays whole.
    """
    told: dict[str, Any] = {}
    for key, one in value.items():
        name = f"{before}{key}"
        if isinstance(one, Mapping) and one and name not in columns:
            told |= flat(one, columns, f"{name}_")
        elif one is not None or name in columns:
            told[name] = one
    return told


def flat_names(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that objects of a JSON Schema become."""
    return tuple(_names(schema, schema, "", frozenset()))


def _names(
    part: Mapping[str, Any], whole: Mapping[str, Any], before: str, above: frozenset[str]
) -> Sequence[str]:
    names: list[str] = []
    for name, one in (part.get("properties") or {}).items():
        one = _there(one)
        inner, way = one, above
        if isinstance(one, dict) and (place := str(one.get("$ref", ""))):
            # What contains itself has no end of columns.
            inner = {} if place in above else _at(whole, place)
            way = above | {place}
        nested = _names(inner, whole, f"{before}{name}_", way) if isinstance(inner, dict) else []
        names.extend(nested or [f"{before}{name}"])
    return names


def _there(part: Any) -> Any:
    """What a value is where it is not null."""
    choices = part.get("anyOf") if isinstance(part, dict) else None
    if not isinstance(choices, list):
        return part
    forms = [one for one in choices if one != {"type": "null"}]
    return forms[0] if len(forms) == 1 else part


def _at(whole: Mapping[str, Any], place: str) -> Any:
    found: Any = whole
    for step in place.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if isinstance(found, Mapping) and step else found
    return found


def _json(text: str) -> Any:
    """The JSON of an answer, which may stand in a fence."""
    try:
        return msgspec.json.decode(unfenced(text))
    except msgspec.DecodeError as fault:
        raise ReadingError(f"The answer must be JSON: {fault}.") from fault
