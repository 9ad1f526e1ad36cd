"""One pass over results of any length, into the facts of a report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from batchyard.client.apis.pricing import PriceOf
from batchyard.client.examining.estimating import Estimate, Lengths, estimate, weigh
from batchyard.client.examining.reading import chunks_of, placed_lines
from batchyard.client.examining.reading import lines_of as numbered_lines_of
from batchyard.client.report.answers import Answer, fields_in, fields_of, read_body, text_of
from batchyard.client.report.endings import Ended, Endings
from batchyard.client.report.expenses import Expenses
from batchyard.client.report.facts import Asked, Facts
from batchyard.client.report.fields import find_label
from batchyard.client.report.golds import Gold, label_of
from batchyard.client.report.rowed import Rowed, Sheet, read_rows, sheet_of
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
from batchyard.client.results.answering import Reading
from batchyard.wire.money import cost_of

__all__ = ["gather"]

_TRIES_MAX = 10


def gather(
    source: Path,
    *,
    made_at: int,
    price_of: PriceOf,
    gold: Gold | None = None,
    column: str | None = None,
    label: str | None = None,
) -> Facts:
    """Read a campaign's folder, or a file of results, once; memory does not grow with it.

    `label` is the field to hold against `gold`, or against the `column` of a campaign's own rows;
    where it is not given, it is found. Raises NoResultsError for a campaign that is not complete,
    LabelError where no answer has the field.
    """
    frame = _frame(source)
    scorer = None if frame.sheet is None else frame.sheet.reading.scorer
    if frame.sheet is not None and gold is None:
        column = _labels_column(frame.sheet.reading, column)
    compares = gold is not None or column is not None
    if label is None and compares:
        likely = _likely_label(frame.sheet)
        label = find_label(_answered(frame.path), frame.closed) if likely is None else likely
    endings = Endings(frame.closed, label, compares=compares)
    reading = _Reading(again=frame.plan.rounds > 1)
    sources = _count(frame, reading, endings, gold, column)
    asked, weighed = _with_estimate(frame, price_of)
    spent = list(reading.expenses.spent(price_of))
    return Facts(
        title=source.name if frame.folder is None else source.absolute().stem,
        made_at=made_at,
        rows=frame.sheet is not None,
        requests=sum(endings.outcomes.values()),
        sources=sources,
        outcomes=endings.outcomes,
        tries=reading.tries,
        unreadable=reading.unreadable,
        asked=asked,
        planned=frame.plan.planned,
        batches=frame.plan.batches,
        rounds=frame.plan.rounds,
        faults=tuple(endings.faults()),
        other_faults=endings.other_faults,
        fields=endings.fields(),
        label=endings.label,
        agreement=endings.agreement(),
        scores=tuple(endings.scores()),
        scorer="" if scorer is None else str(scorer),
        ungraded=endings.ungraded,
        samples=endings.samples,
        spending=tuple(spending for spending, _ in spent),
        again=frame.plan.rounds > 1,
        cost=cost_of(one for _, one in spent) if spent else None,
        estimate=weighed,
        flow=reading.expenses.flow,
        latency=reading.expenses.latency,
        lengths=reading.expenses.lengths,
    )


class _Frame(NamedTuple):
    """What is known before the first result is read; `folder` is None for a file of results."""

    path: Path
    folder: Path | None
    asked: Asked | None
    closed: Mapping[str, tuple[str, ...]]
    sheet: Sheet | None
    plan: Plan


def _frame(source: Path) -> _Frame:
    if not source.is_dir():
        return _Frame(source, None, None, {}, None, Plan())
    path = source / "results.jsonl"
    if not path.exists():
        raise NoResultsError(str(source))
    asked, closed = asked_of(source)
    sheet = sheet_of(source)
    plan = Plan() if asked is None else plan_of(source)
    return _Frame(path, source, asked, closed if sheet is None else sheet.closed, sheet, plan)


def _count(
    frame: _Frame, reading: "_Reading", endings: Endings, gold: Gold | None, column: str | None
) -> Mapping[str, int]:
    """Read everything; returns where the answers of rows are from."""
    sources: Counter[str] = Counter()
    told = reading.read(frame.path, _requests(frame), None if frame.sheet else gold)
    for one in told:
        if frame.sheet is None:
            endings.add(one)
    if frame.folder is not None and frame.sheet is not None:
        for row in read_rows(frame.folder, frame.sheet):
            sources[row.source] += 1
            endings.add(_ended(row, frame.sheet, gold, column))
    if frame.folder is not None and frame.plan.rounds > 1:
        for output in sorted((frame.folder / "raw").glob("*.output.jsonl")):
            reading.pay_for(output)
    return sources


class _Reading:
    """Reads results: how each ended goes to the reader, what it took is kept.

    With `again`, the tokens are not those of the results alone; `pay_for` counts them.
    """

    def __init__(self, *, again: bool) -> None:
        self.expenses = Expenses()
        self.unreadable = 0
        self._again, self._tries = again, [0] * _TRIES_MAX

    def read(self, path: Path, requests: Iterator[bytes], gold: Gold | None) -> Iterator[Ended]:
        """How each result ended."""
        for line in read_lines(path):
            request = next(requests, b"")
            if line is None:
                self.unreadable += 1
                continue
            self._tries[min(line.tries, _TRIES_MAX) - 1] += 1
            answer = self._answer_of(line, request)
            text = None if answer is None else text_of(answer)
            yield Ended(
                custom_id=line.custom_id,
                outcome=line.outcome,
                code=line.code,
                message=line.message,
                text=text,
                fields=() if answer is None else fields_of(answer, text),
                question=partial(_question, request),
                gold=None if gold is None else gold.of(line.custom_id),
            )

    def pay_for(self, path: Path) -> None:
        """Count the tokens of all answers in an output file, also those that did not last."""
        for line in read_lines(path):
            answer = None if line is None or line.body is None else read_body(line.body)
            if line is not None and line.body is not None and answer is not None:
                self.expenses.pay(answer, line.body, "")

    @property
    def tries(self) -> tuple[int, ...]:
        """How many were asked once, twice, and so on."""
        last = max((times for times, number in enumerate(self._tries, 1) if number), default=0)
        return tuple(self._tries[:last])

    def _answer_of(self, line: Line, request: bytes) -> Answer | None:
        """The answer of a line, counted, if it has one that was paid for."""
        if line.body is None or line.outcome not in ("succeeded", "invalid_output"):
            return None
        answer = read_body(line.body)
        if answer is None:
            return None
        if not self._again:
            model = "" if answer.model_name else str(body_of(request_of(request)).get("model", ""))
            self.expenses.pay(answer, line.body, model)
        self.expenses.clock(answer)
        return answer


def _ended(row: Rowed, sheet: Sheet, gold: Gold | None, column: str | None) -> Ended:
    """How a row ended."""
    right = label_of(row.row.get(column)) if column is not None else None
    if gold is not None:
        right = gold.of(row.custom_id)
    value = row.value
    shown = value if isinstance(value, str) else None if value is None else _as_text(value)
    reading = sheet.reading
    compared = reading.kind == "evaluate"
    known = not reading.is_ruled or row.row.get(reading.expected or "") is not None
    return Ended(
        custom_id=row.custom_id,
        outcome=row.outcome,
        code=row.code,
        message=row.message,
        text=shown,
        fields=() if value is None else fields_in(value, sheet.reading.column),
        question=lambda: _as_text(row.row),
        given=value if isinstance(value, str) else None,
        gold=right,
        model=str(row.row.get("model")) if compared else None,
        is_scored=reading.scorer is not None and known,
        correct=row.correct,
    )


def _labels_column(reading: Reading, column: str | None) -> str | None:
    """The column of gold labels; what a scorer says of expected answers is no matter of labels."""
    column = column or reading.expected
    return None if reading.scorer is not None and column == reading.expected else column


def _likely_label(sheet: Sheet | None) -> str | None:
    """The label of a campaign of rows, as far as how they are read says it."""
    if sheet is None:
        return None
    return next(iter(sheet.closed), None if sheet.reading.schema else sheet.reading.column)


def _requests(frame: _Frame) -> Iterator[bytes]:
    """The request of each merged result, which stand in the same order."""
    if frame.folder is None or frame.asked is None:
        return repeat(b"")
    return (line for _, line in placed_lines(frame.folder / "input.jsonl"))


def _question(request: bytes) -> str:
    return question_of(body_of(request_of(request))) if request else ""


def _answered(path: Path) -> Iterable[Answer]:
    for line in read_lines(path):
        if line is not None and line.body is not None and line.outcome == "succeeded":
            answer = read_body(line.body)
            if answer is not None:
                yield answer


def _as_text(value: object) -> str:
    """A row or a value in lines of names, or as JSON where it has none."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {one}" for name, one in value.items() if one is not None)
    return label_of(value) or ""


def _with_estimate(frame: _Frame, price_of: PriceOf) -> tuple[Asked | None, Estimate | None]:
    """What was asked, with counts by endpoint and model, and what it was estimated to cost."""
    if frame.folder is None or frame.asked is None:
        return frame.asked, None
    lots = weigh(numbered_lines_of(chunks_of(frame.folder / "input.jsonl")), Lengths())
    weighed = estimate(lots, price_of)
    models = {row.model: row.requests for row in weighed.models}
    return replace(frame.asked, endpoints=frame.plan.endpoints, models=models), weighed
