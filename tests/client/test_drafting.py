"""Rows as they are kept."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from batchyard.client.building.requests import Request, chat
from batchyard.client.tabular.drafting import NOTHING, draft, rows_in

NOON = datetime(2026, 11, 21, 12)


def ask(row: Any) -> Request | None:
    return chat("-", model="m", messages=row["text"]) if row["text"] else None


def drafted(folder: Path, rows: list[dict[str, Any]], **changed: Any) -> Any:
    asked = {"custom_id": None, "base_url": "http://h/v1", "dedupe": True, **changed}
    return draft(rows, ask, folder, **asked)


def test_rows_that_ask_the_same_share_a_request(tmp_path: Path) -> None:
    """The first of them is marked; what has nothing to ask has none."""
    made = drafted(tmp_path, [{"text": one} for one in ("a", "b", "", "a")])
    assert (made.rows, made.units) == (4, 2)
    told = [(one.custom_id, one.unit, one.first) for one in rows_in(tmp_path)]
    assert told == [
        ("row-000001", 0, True),
        ("row-000002", 1, True),
        ("row-000003", NOTHING, False),
        ("row-000004", 0, False),
    ]
    assert len(set(made.keys(0, 2))) == 2


def test_a_draft_has_an_identity(tmp_path: Path) -> None:
    """The same for the same rows at the same server; another for any other."""
    rows = [{"text": "a", "n": 1}]
    first = drafted(tmp_path, rows).identity
    assert drafted(tmp_path, rows).identity == first
    assert drafted(tmp_path, [{"text": "a", "n": 2}]).identity != first
    assert drafted(tmp_path, rows, base_url="http://other/v1").identity != first


def test_dates_and_times_are_known_as_such(tmp_path: Path) -> None:
    """Where nothing else stands in their column."""
    rows: list[dict[str, Any]] = [
        {"text": "a", "day": date(2026, 1, 1), "at": NOON, "mixed": "soon", "zoned": None},
        {"text": "b", "day": None, "at": NOON, "mixed": NOON, "zoned": NOON.replace(tzinfo=UTC)},
    ]
    made = drafted(tmp_path, rows)
    zoned = "TIMESTAMP WITH TIME ZONE"
    assert made.types == {"day": "DATE", "at": "TIMESTAMP", "zoned": zoned}
