"""A campaign whose requests were made of rows, and whose answers go back to them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.apis.pricing import PriceOf, prices_of
from batchyard.client.building.packing import floats
from batchyard.client.building.requests import custom_id_of
from batchyard.client.building.rows import key_of
from batchyard.client.building.schema import read_as
from batchyard.client.campaigns.campaign import Campaign, IncompleteError, NoCampaignError
from batchyard.client.campaigns.pursuit import Until
from batchyard.client.campaigns.settings import Progress
from batchyard.client.campaigns.sharing import brought, folder_at, place_of
from batchyard.client.results.answering import Reading
from batchyard.client.results.outcomes import OUTCOMES, texts_of
from batchyard.client.results.results import Result
from batchyard.client.tables import Table, TableError, table_of, write_table
from batchyard.client.tables.joining import added
from batchyard.client.tabular.drafting import Drafted, keys_in, rows_in
from batchyard.client.tabular.faithful import Faithful
from batchyard.client.tabular.scoring import Answered, Grade, Score, grades_of, scores_of
from batchyard.client.tabular.settling import Answer, Answers
from batchyard.places.remembered import AT_ONCE, ForgottenError, Remembered
from batchyard.places.whole import publish
from batchyard.wire.money import PICODOLLARS, Spent

__all__ = ["RowCampaign", "Sheet", "Tally"]

# Beside the answer itself, with DuckDB's types.
_FACTS = {
    "custom_id": "VARCHAR",
    "outcome": "VARCHAR",
    "error": "VARCHAR",
    "source": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
}


class Sheet(Struct, frozen=True, kw_only=True):
    """What rows a campaign answers, and how its answers are read; written once.

    `types` are DuckDB's names of the types of the rows' own columns, where they are known.
    """

    identity: str
    rows: int
    units: int
    reading: Reading
    packed: bool = False
    types: dict[str, str] = {}
    cache: str | None = None


class Tally(Struct, frozen=True, kw_only=True):
    """All rows by outcome, and by where the answer is from; each adds up to `rows`.

    `labels` counts the rows of each, where there are labels to choose from. `asked` rows were asked
    in this campaign, `same` ones have the answer of an asked or known one, `cache` ones that of an
    earlier campaign, `canary` ones that of the sample before it; `none` had no text to
    ask about.
    """

    rows: int
    outcomes: Mapping[str, int]
    sources: Mapping[str, int]
    labels: Mapping[str, int] = {}
    input_tokens: int
    output_tokens: int


class RowCampaign(Campaign):
    """A campaign that gives back rows. Give `shape` to get a model's instances as values."""

    def __init__(
        self,
        folder: str | PathLike[str],
        key: str | None = None,
        *,
        shape: Any = None,
        **more: Any,
    ) -> None:
        folder = folder_at(folder)
        path = folder / "sheet.json"
        if not path.exists():
            raise NoCampaignError(f"{place_of(folder)} holds no campaign of rows.")
        self.sheet = msgspec.json.decode(path.read_bytes(), type=Sheet)
        self._shape = shape
        self._price_of: PriceOf | None = None
        if not self.sheet.packed:
            more.setdefault("check", self._hold)
        super().__init__(folder, key, **more)
        self._faithful = Faithful(self.folder / "input.jsonl")

    async def arun(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        until: Until = "end",
        *,
        on_result: Callable[[Result], None] | None = None,
    ) -> Mapping[str, int] | None:
        """Go on; the counts of rows by outcome once complete. Results are those of requests."""
        try:
            counts = await super().arun(on_progress, until, on_result=on_result)
        finally:
            self._faithful.close()
        if counts is None:
            return None
        return self.tally().outcomes

    def answers(self) -> Iterator[Answered]:
        """Each row with its answer, in the order of the rows; goes on to the end before."""
        self.run()
        yield from self._all(grades_of(self.folder, self.sheet.reading))

    def _all(self, grades: Iterator[Grade | None]) -> Iterator[Answered]:
        with self._answers() as found:
            for one in rows_in(self.folder):
                yield self._answered(one, found.answer(one.unit), next(grades, None))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as it came, with columns of its answer beside its own."""
        for row, told in self._pairs():
            yield row | told

    def add_to(self, source: Any) -> Any:
        """The source of the rows, as the same kind of thing, with columns of the answers added.

        That is for frames and datasets, whose own columns stay as they are; else a list of rows.
        """
        return added(source, self._pairs(), self._types)

    def table(self, source: Any = None, key: str | Sequence[str] | None = None) -> Table:
        """The rows with columns of their answers; those of a source where one is given.

        The source has the rows that were asked, in their order, or reading raises TableError;
        `key` is the column, or the columns, that made the custom_ids, and is held against them.
        """
        if source is None:
            return Table("answers", self.rows, types=self._types)
        rows = table_of(source)
        return replace(rows, kind="joined", rows=lambda: self._beside(rows, key))

    def _beside(self, rows: Table, key: str | Sequence[str] | None) -> Iterator[dict[str, Any]]:
        for row, one in zip_longest(rows.rows(), self._columns()):
            if row is None or one is None:
                most = "rows" if one is None else "answers"
                raise TableError(f"There are more {most}: these are not the rows that were asked.")
            answered, told = one
            if key is not None and custom_id_of(key_of(row, key)) != answered.custom_id:
                raise TableError(f"Not in the order that was asked: '{answered.custom_id}' is due.")
            yield row | {_free(name, row): value for name, value in told.items()}

    def _pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        names: dict[str, str] | None = None
        for one, told in self._columns():
            if names is None:
                names = {name: _free(name, one.row) for name in told}
            yield one.row, {names.get(name, name): value for name, value in told.items()}

    def _columns(self) -> Iterator[tuple[Answered, dict[str, Any]]]:
        for one in self.answers():
            told = dict.fromkeys(self.sheet.reading.names)
            told |= self.sheet.reading.columns(_as_json(one.value))
            if self.sheet.reading.kind == "evaluate":
                told["correct"] = one.correct
                told |= {"reason": one.reason} if "reason" in told else {}
            told |= {name: getattr(one, name) for name in _FACTS}
            yield one, told

    def to(self, place: str | PathLike[str], **how: Any) -> Path:
        """Write the rows with their answers to a file, of the kind that its suffix says.

        `how` is for `batchyard.client.tables.write_table`, as `table="labels"` in a database.
        """
        write_table(self.table(), place, **how)
        return Path(place)

    def _types(self) -> dict[str, str]:
        """DuckDB's types of the columns, as far as they are known."""
        rows = (msgspec.json.decode(one.row) for one in rows_in(self.folder))
        first: dict[str, Any] = next(rows, {})
        return self.sheet.types | {_free(name, first): kind for name, kind in _FACTS.items()}

    def tally(self) -> Tally:
        """How all rows ended and where their answers are from; IncompleteError before the end."""
        if self.counts is None:
            raise IncompleteError(f"{self.place}: not every row has its answer; run() goes on.")
        path = brought(self.folder) / "tally.json"
        if path.exists() and _is_newer(path, self.results_path):
            return msgspec.json.decode(path.read_bytes(), type=Tally)
        outcomes: Counter[str] = Counter()
        sources: Counter[str] = Counter()
        labels: Counter[str] = Counter(dict.fromkeys(self.sheet.reading.labels, 0))
        spent = [0, 0]
        with self._answers() as found, self._remembering() as remember:
            for one in rows_in(self.folder):
                answer = found.answer(one.unit)
                answered = self._answered(one, answer)
                outcomes[answered.outcome] += 1
                sources[answered.source] += 1
                if labels and answered.value is not None:
                    several = isinstance(answered.value, list)
                    labels.update(answered.value if several else [answered.value])
                spent[0] += answered.input_tokens
                spent[1] += answered.output_tokens
                if answered.outcome == "succeeded" and one.first and answer.source != "cache":
                    remember(one.unit, answer.body)
        tally = Tally(
            rows=outcomes.total(),
            outcomes={name: outcomes[name] for name in OUTCOMES},
            sources=dict(sources),
            labels=dict(labels),
            input_tokens=spent[0],
            output_tokens=spent[1],
        )
        publish(path, msgspec.json.encode(tally))
        return tally

    @contextmanager
    def _remembering(self) -> Iterator[Callable[[int, Any], None]]:
        """Keep answers for later campaigns; that they cannot be kept is no fault of this one."""
        if self.sheet.cache is None:
            yield lambda _unit, _body: None
            return
        kept: dict[bytes, bytes] = {}
        place = Remembered(Path(self.sheet.cache), time.time)

        def flush() -> None:
            with suppress(ForgottenError):
                place.keep(kept)
            kept.clear()

        def remember(unit: int, body: Any) -> None:
            key = keys_in(self.folder, unit, unit + 1)[0]
            kept[key] = msgspec.json.encode(body)
            if len(kept) == AT_ONCE:
                flush()

        yield remember
        flush()

    def scores(self) -> list[Score]:
        """How many answers of each model are the expected ones; for `evaluate`."""
        if self.sheet.reading.kind != "evaluate":
            raise ValueError("Only what was asked with `evaluate` has scores.")
        return scores_of(self.answers(), self.sheet.reading)

    def _answers(self) -> Answers:
        return Answers(self.folder, self.results_path, self.sheet.units, packed=self.sheet.packed)

    def _answered(self, one: Drafted, answer: Answer, grade: Grade | None = None) -> Answered:
        outcome, value, error = str(answer.outcome), None, None
        row: dict[str, Any] = msgspec.json.decode(one.row)
        if answer.outcome == "succeeded":
            try:
                value = self._value(answer.body)
            except ValueError as fault:
                outcome, error = "invalid_output", str(fault)
        else:
            error = answer.message or answer.code or None
        if grade is None:
            grade = Grade(self.sheet.reading.is_right(value, row))
        return Answered(
            custom_id=one.custom_id,
            row=row,
            outcome=outcome,
            value=value,
            error=error,
            source=answer.source if one.first or answer.source != "asked" else "same",
            input_tokens=answer.input_tokens if one.first else 0,
            output_tokens=answer.output_tokens if one.first else 0,
            cost_usd=self._cost(answer) if one.first else 0.0,
            correct=grade.correct,
            reason=grade.reason,
        )

    def _cost(self, answer: Answer) -> float | None:
        """Dollars in a batch; None where no price is known."""
        if not answer.model:
            return 0.0
        if self._price_of is None:
            self._price_of = prices_of(self.manifest.settings.base_url)
        spent = Spent(
            model=answer.model,
            input_tokens=answer.input_tokens,
            cached_tokens=answer.cached_tokens,
            output_tokens=answer.output_tokens,
            price=self._price_of(answer.model),
        )
        return None if spent.price is None else spent.picodollars / PICODOLLARS

    def _value(self, body: Any) -> Any:
        if self.sheet.packed:
            vector = body["data"][0]["embedding"]
            return floats(vector) if isinstance(vector, str) else vector
        return self._read(next(texts_of(body), ""))

    def _hold(self, custom_id: str, text: str) -> None:
        """ValueError where the answer of a request is not what was asked for."""
        self._read(text)
        if self.sheet.reading.placeholders:
            self._faithful.hold(custom_id, text)

    def _read(self, text: str) -> Any:
        value = self.sheet.reading.value(text)
        return value if self._shape is None else read_as(self._shape, text)


def _is_newer(one: Path, other: Path) -> bool:
    return one.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _as_json(value: Any) -> Any:
    """A value of any shape as what JSON has."""
    return (
        value.model_dump(mode="json")
        if hasattr(value, "model_dump")
        else msgspec.to_builtins(value)
    )


def _free(name: str, row: Mapping[str, Any]) -> str:
    """The name of a column that the row has not."""
    while name in row:
        name = f"answer_{name}"
    return name
