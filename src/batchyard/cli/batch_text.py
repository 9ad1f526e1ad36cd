"""What `why` and `status` say of a batch's failed lines, refused lines, and lanes."""

from collections.abc import Iterator
from typing import Any

from batchyard.cli.options import clean

__all__ = ["failure_lines", "lane_parts", "refusal_lines"]

_CAUSES_SHOWN_MAX = 5


def failure_lines(batch: dict[str, Any]) -> Iterator[str]:
    """The causes of failed lines, the most frequent first, each with one line as its example."""
    failures = batch.get("batchyard", {}).get("failures") or []
    for failure in failures[:_CAUSES_SHOWN_MAX]:
        status = f" (HTTP {failure['status']})" if failure.get("status") else ""
        message = f": {clean(failure['message'])}" if failure.get("message") else ""
        lines = "line" if failure["count"] == 1 else "lines"
        yield (
            f"{failure['count']:,} {lines} failed with {clean(failure['code'])}{status}, the first "
            f"is line {failure['line']:,}{message}"
        )
    if len(failures) > _CAUSES_SHOWN_MAX:
        rest = sum(failure["count"] for failure in failures[_CAUSES_SHOWN_MAX:])
        yield f"{rest:,} {'line' if rest == 1 else 'lines'} failed for other causes"


def lane_parts(batch: dict[str, Any]) -> Iterator[str]:
    """Where lines are sent, and how many at once; a lane that stands still says why."""
    for lane in batch.get("batchyard", {}).get("lanes") or []:
        where = f"{clean(lane['model'])} at {clean(lane['upstream'])}"
        waiting = f", {lane['waiting']:,} wait to be tried again" if lane.get("waiting") else ""
        figures = f"{lane['in_flight']:,} in flight of at most {lane['limit']:,}{waiting}"
        why = lane.get("reason") or lane.get("limited_by")
        yield f"{where}: {figures}" + (f" ({clean(why)})" if why else "")


def refusal_lines(batch: dict[str, Any]) -> Iterator[str]:
    """Why a batch was refused: each code once, with how many lines it was found on."""
    errors = batch.get("errors")
    found = errors.get("data") or [] if isinstance(errors, dict) else []
    by_code: dict[Any, list[dict[str, Any]]] = {}
    for error in found:
        by_code.setdefault(error.get("code"), []).append(error)
    for code, alike in by_code.items():
        first = alike[0]
        line = f"line {first['line']}: " if first.get("line") else ""
        rest = len(alike) - 1
        more = f" (and {rest:,} more {'line' if rest == 1 else 'lines'})" if rest else ""
        yield f"{line}{clean(code)}: {clean(first.get('message'))}{more}"
