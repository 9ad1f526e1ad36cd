"""Gold labels: those that are known to be right, from a table or from the requests' metadata."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from batchyard.client.examining.reading import placed_lines
from batchyard.client.report.sources import body_of, request_of
from batchyard.client.tables.sources import rows_of

__all__ = ["ByKey", "Gold", "GoldError", "InOrder", "from_metadata", "from_table", "label_of"]


class GoldError(ValueError):
    """Gold labels cannot be had from where they were said to be."""


class Gold(Protocol):
    """What knows the gold label of each result, asked in the order of the results."""

    def of(self, custom_id: str) -> str | None:
        """The gold label; None where there is none."""


class InOrder:
    """Gold labels that stand in the order of the results."""

    def __init__(self, labels: Iterator[str | None]) -> None:
        self._labels = labels

    def of(self, custom_id: str) -> str | None:
        """The next label."""
        return next(self._labels, None)


class ByKey:
    """Gold labels by custom_id; only those that come before their turn are held."""

    def __init__(self, pairs: Iterator[tuple[str, str | None]]) -> None:
        self._pairs, self._early = pairs, dict[str, str | None]()

    @property
    def held(self) -> int:
        """How many labels wait for their turn."""
        return len(self._early)

    def of(self, custom_id: str) -> str | None:
        """The label of this request."""
        if custom_id in self._early:
            return self._early.pop(custom_id)
        for key, label in self._pairs:
            if key == custom_id:
                return label
            self._early[key] = label
        return None


def from_metadata(path: Path, column: str) -> InOrder:
    """Gold labels that the requests of an input carry in their metadata."""

    def labels() -> Iterator[str | None]:
        for _, line in placed_lines(path):
            metadata = body_of(request_of(line)).get("metadata")
            yield label_of(metadata.get(column)) if isinstance(metadata, dict) else None

    return InOrder(labels())


def from_table(table: Any, column: str, key: str | None) -> Gold:
    """Gold labels of whatever holds rows: a file of a table, a data frame, mappings.

    `key` is the column that made the custom_ids; without it, rows stand in the order of requests.
    Raises GoldError where the table has no such column.
    """
    rows = rows_of(table)
    if key is None:
        return InOrder(label_of(_cell(row, column)) for row in rows)
    return ByKey((label_of(_cell(row, key)) or "", label_of(_cell(row, column))) for row in rows)


def _cell(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise GoldError(f"The rows have no column {column!r}, but {', '.join(map(str, row))}.")
    return row[column]


def label_of(value: Any) -> str | None:
    """A label as it is compared; None where there is none."""
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
