"""Scorers: how an answer of `evaluate` is held against what is expected."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from batchyard.client.results.conforming import same

__all__ = [
    "Rule",
    "Scorer",
    "as_scorer",
    "contains",
    "exact",
    "json_fields",
    "judge",
    "number",
    "plain",
    "regex",
    "unfenced",
]

Kind = Literal["exact", "contains", "regex", "number", "json", "judge", "callable"]
# Hears the answer and the row; whether it is right, None where that cannot be said.
Rule = Callable[[Any, Mapping[str, Any]], bool | None]
_NUMBER = re.compile(r"[-+−]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)


class Scorer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an answer is scored; made by the functions beside it.

    `model`, `to` and `rubric` are of a judge, `name` is that of a function of one's own.
    """

    kind: Kind = "exact"
    tolerance: float = 0.0
    relative: float = 0.0
    fields: tuple[str, ...] = ()
    rubric: str = ""
    model: str = ""
    to: str | None = None
    name: str = ""

    @property
    def is_rule(self) -> bool:
        """Whether the answer and what is expected are all it takes."""
        return self.kind not in ("judge", "callable")

    def check(self, expected: Any) -> None:
        """ValueError where nothing can be held against what is expected."""
        if expected is None or not self.is_rule:
            return
        if self.kind == "regex":
            try:
                re.compile(str(expected))
            except re.error as fault:
                raise ValueError(f"{expected!r} is no regular expression: {fault}.") from fault
        if self.kind == "number" and _last_number(expected) is None:
            raise ValueError(f"{expected!r} is no number.")
        if self.kind == "json" and not isinstance(_object(expected), dict):
            raise ValueError(f"{expected!r} is no JSON object.")

    def is_right(self, answer: Any, expected: Any) -> bool:
        """Whether an answer is right by its rule."""
        match self.kind:
            case "contains":
                wanted = expected if isinstance(expected, list | tuple) else [expected]
                return all(
                    str(one).casefold().strip() in _said(answer).casefold() for one in wanted
                )
            case "regex":
                return re.search(str(expected), _said(answer)) is not None
            case "number":
                return self._is_near(_last_number(answer), _last_number(expected))
            case "json":
                return self._has_fields(_object(answer), _object(expected))
        return plain(answer) == plain(expected)

    def __str__(self) -> str:
        match self.kind:
            case "number":
                near = [f"within {self.tolerance:g}"] if self.tolerance else []
                near += [f"within {self.relative:.2%}"] if self.relative else []
                return f"number, {' or '.join(near) or 'the same'}"
            case "json":
                return f"JSON fields {', '.join(self.fields) or 'that are expected'}"
            case "judge":
                return f"judge {self.model}: {self.rubric}"
            case "callable":
                return self.name
        return self.kind

    def _is_near(self, found: float | None, wanted: float | None) -> bool:
        if found is None or wanted is None:
            return False
        return math.isclose(found, wanted, abs_tol=self.tolerance, rel_tol=self.relative)

    def _has_fields(self, found: Any, wanted: Any) -> bool:
        if not isinstance(found, dict) or not isinstance(wanted, dict):
            return False
        names = self.fields or tuple(wanted)
        return all(same(found.get(name), wanted.get(name)) for name in names)


def exact() -> Scorer:
    """The answer is what is expected; capitals, quotes and a full stop around it do not matter."""
    return Scorer()


def contains() -> Scorer:
    """What is expected, or each of several, is somewhere in the answer; capitals do not matter."""
    return Scorer(kind="contains")


def regex() -> Scorer:
    """What is expected is a regular expression that matches somewhere in the answer."""
    return Scorer(kind="regex")


def number(tolerance: float = 0.0, *, relative: float = 0.0) -> Scorer:
    """The last number in the answer is the expected one.

    It may be off by `tolerance`, or by the part `relative` of the larger one.
    """
    return Scorer(kind="number", tolerance=tolerance, relative=relative)


def json_fields(*fields: str) -> Scorer:
    """The answer is a JSON object with the same values in these fields, or in all expected ones."""
    return Scorer(kind="json", fields=fields)


def judge(model: str, rubric: str, *, to: str | None = None) -> Scorer:
    """Another model says of each answer whether it is right by a rubric, in a batch of its own.

    It sees the question, what is expected where that is known, and the answer. `to` is where it
    is asked, unless where the answers are from.
    """
    return Scorer(kind="judge", model=model, rubric=rubric, to=to)


def as_scorer(given: "str | Scorer | Rule") -> Scorer:
    """A scorer by its name, itself, or what stands for a function."""
    if isinstance(given, Scorer):
        return given
    if callable(given):
        return Scorer(kind="callable", name=getattr(given, "__name__", "a function"))
    named: dict[str, Callable[[], Scorer]] = {
        "exact": exact,
        "contains": contains,
        "regex": regex,
        "number": number,
        "json": json_fields,
    }
    if given not in named:
        raise ValueError(
            f"There is no scorer {given!r}; there are {', '.join(named)}, "
            "batchyard.scorers.judge(model, rubric), and functions of (answer, row)."
        )
    return named[given]()


def plain(said: object) -> str:
    """A text without what does not matter around it."""
    return str(said).strip().strip("\"'`.").strip().casefold()


def unfenced(text: str) -> str:
    """A text, or what stands in it between fences."""
    found = _FENCE.match(text)
    return found[1] if found else text


def _said(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _last_number(said: Any) -> float | None:
    if isinstance(said, int | float) and not isinstance(said, bool):
        return float(said) if math.isfinite(said) else None
    found = _NUMBER.findall(str(said))
    return float(re.sub("[,_]", "", found[-1]).replace("−", "-")) if found else None


def _object(said: Any) -> Any:
    """The JSON of a text, which may stand in a fence."""
    if not isinstance(said, str):
        return said
    try:
        return json.loads(unfenced(said))
    except (ValueError, RecursionError):
        return None
