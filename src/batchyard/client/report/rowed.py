"""A campaign that was made of rows, row by row: what its answer is worth, and the row itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.report.answers import closed_in
from batchyard.client.results.answering import Reading
from batchyard.client.results.outcomes import texts_of
from batchyard.client.tabular.drafting import rows_in
from batchyard.client.tabular.scoring import grades_of
from batchyard.client.tabular.settling import Answers

__all__ = ["Rowed", "Sheet", "read_rows", "sheet_of"]


class Sheet(Struct, frozen=True, kw_only=True):
    """What a report needs to know of how the rows are read."""

    units: int
    reading: Reading
    packed: bool = False

    @property
    def closed(self) -> dict[str, tuple[str, ...]]:
        """The fields whose labels are listed."""
        reading = self.reading
        if reading.labels:
            return {reading.column + ("[]" if reading.multiple else ""): reading.labels}
        return closed_in(reading.schema) if reading.schema else {}


class Rowed(Struct, frozen=True, kw_only=True):
    """A row and what became of it; `value` is None unless it succeeded.

    `correct`: whether a scorer says that it is right, where there is one.
    """

    custom_id: str
    row: dict[str, Any]
    outcome: str
    source: str
    code: str
    message: str
    value: Any
    correct: bool | None


def sheet_of(folder: Path) -> Sheet | None:
    """How the rows of a campaign are read; None for one that was not made of rows."""
    path = folder / "sheet.json"
    return msgspec.json.decode(path.read_bytes(), type=Sheet) if path.exists() else None


def read_rows(folder: Path, sheet: Sheet) -> Iterator[Rowed]:
    """Each row with its answer, in the order of the rows."""
    results = folder / "results.jsonl"
    grades = grades_of(folder, sheet.reading)
    with Answers(folder, results, sheet.units, packed=sheet.packed) as answers:
        for one in rows_in(folder):
            answer = answers.answer(one.unit)
            outcome, value = str(answer.outcome), None
            code, message = answer.code, answer.message
            if answer.outcome == "succeeded" and not sheet.packed:
                try:
                    value = sheet.reading.value(next(texts_of(answer.body), ""))
                except ValueError as fault:
                    outcome, code, message = "invalid_output", "invalid_answer", str(fault)
            row, grade = msgspec.json.decode(one.row), next(grades)
            yield Rowed(
                custom_id=one.custom_id,
                row=row,
                outcome=outcome,
                source=answer.source if one.first or answer.source != "asked" else "same",
                code=code,
                message=message,
                value=value,
                correct=sheet.reading.is_right(value, row) if grade is None else grade.correct,
            )
