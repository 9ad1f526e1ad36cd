"""What two files of results say differently, request by request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.results import Result, result_of

__all__ = ["Difference", "compare", "value_at", "value_in"]

# What is another in each answer, whatever it says.
_PASSING = frozenset(
    {"id", "created", "created_at", "usage", "system_fingerprint", "service_tier", "model"}
)


class Difference(Struct, frozen=True, kw_only=True):
    """One request: what it was answered before and after; a fault stands as its code."""

    custom_id: str
    change: Literal["same", "answer", "outcome", "only_before", "only_after"]
    before: Any
    after: Any


def compare(before: Path, after: Path, field: str | None = None) -> Iterator[Difference]:
    """Each request of both files, in the order of the second, then what only the first has.

    With `field`, answers are JSON and only this of them counts. Of a custom_id that stands twice
    a success counts, else the last. Holds a few numbers for each result of both files.
    """
    places = _places(before)
    with before.open("rb") as old, after.open("rb") as new:
        for custom_id, place in _places(after).items():
            new.seek(place[0])
            now = _read(new.read(place[1]))
            if custom_id not in places:
                yield _one(custom_id, "only_after", None, _told(now, field))
                continue
            start, length = places.pop(custom_id)
            old.seek(start)
            then = _read(old.read(length))
            yield _weighed(custom_id, then, now, field)
        for custom_id, (start, length) in places.items():
            old.seek(start)
            yield _one(custom_id, "only_before", _told(_read(old.read(length)), field), None)


def value_in(result: Result) -> Any:
    """What an answer says: its text, as JSON where it is some, or what it has beside a text."""
    text = result.text
    if text is None:
        body = result.body
        if not isinstance(body, dict):
            return body
        return {name: one for name, one in body.items() if name not in _PASSING}
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def value_at(value: Any, field: str) -> Any:
    """What stands at a path of names and numbers in JSON; None where nothing does."""
    for step in field.split("."):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return None
    return value


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where the result of each request stands."""
    places: dict[str, tuple[int, int]] = {}
    good: set[str] = set()
    for start, line in placed_lines(path):
        found = result_of(line)
        if found is None or (found.custom_id in good and not found.succeeded):
            continue
        if found.succeeded:
            good.add(found.custom_id)
        places[found.custom_id] = (start, len(line))
    return places


def _read(line: bytes) -> Result:
    found = result_of(line)
    assert found is not None
    return found


def _weighed(custom_id: str, then: Result, now: Result, field: str | None) -> Difference:
    before, after = _told(then, field), _told(now, field)
    if then.succeeded and now.succeeded:
        return _one(custom_id, "same" if before == after else "answer", before, after)
    same = (then.outcome, then.code) == (now.outcome, now.code)
    return _one(custom_id, "same" if same else "outcome", before, after)


def _told(result: Result, field: str | None) -> Any:
    if not result.succeeded:
        return f"({result.code or result.outcome})"
    value = value_in(result)
    return value if field is None else value_at(value, field)


def _one(custom_id: str, change: Any, before: Any, after: Any) -> Difference:
    return Difference(custom_id=custom_id, change=change, before=before, after=after)
