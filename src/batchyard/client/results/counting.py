"""What is in a file of requests or of results, in numbers; read once, in little memory."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.building.writing import Seen
from batchyard.client.examining.reading import Line
from batchyard.client.results.outcomes import is_result
from batchyard.client.results.results import Result, facts_of, result_of

__all__ = ["Repeat", "RequestStats", "ResultStats", "Spread", "count"]

_BYTES_PER_TOKEN = 4
# Larger numbers are kept to three digits: within half a percent, whatever the file.
_EXACT_BELOW = 1_000
# Answers of up to so many characters, of which there are up to so many, are labels.
_LABEL_CHARACTERS, _LABELS_MAX = 60, 1_000


class Spread(Struct, frozen=True, kw_only=True):
    """How large something is: ends and sum are exact, the rest to three digits."""

    least: int
    median: int
    p90: int
    p99: int
    most: int
    sum: int


class Repeat(Struct, frozen=True, kw_only=True):
    """A prompt that comes again: first on this line, and how often after its first time."""

    line: int
    times: int


class RequestStats(Struct, frozen=True, kw_only=True):
    """A file of requests. `repeats` are the most frequent; `repeated_*` count all after a first."""

    requests: int
    endpoints: dict[str, int]
    models: dict[str, int]
    line_bytes: Spread | None
    input_tokens: Spread | None
    repeated_custom_ids: int
    repeated_requests: int
    repeated_prompts: int
    repeats: tuple[Repeat, ...]
    unreadable: int


class ResultStats(Struct, frozen=True, kw_only=True):
    """A file of results. `labels` are the answers, where all of them are few and short."""

    results: int
    outcomes: dict[str, int]
    codes: dict[str, int]
    models: dict[str, int]
    line_bytes: Spread | None
    input_tokens: Spread | None
    output_tokens: Spread | None
    labels: dict[str, int]
    repeated_custom_ids: int
    unreadable: int


def count(lines: Iterable[Line]) -> RequestStats | ResultStats:
    """Count a file; its first line says of which kind it is."""
    counted: _Requests | _Results | None = None
    for number, line in lines:
        if counted is None:
            counted = _Results() if is_result(line) else _Requests()
        counted.take(number, line)
    return (counted or _Requests()).told()


class _Sizes:
    def __init__(self) -> None:
        self._often = Counter[int]()
        self._least = self._most = self._sum = 0

    def add(self, size: int) -> None:
        self._least = min(self._least, size) if self._often else size
        self._most = max(self._most, size)
        self._sum += size
        if size >= _EXACT_BELOW:
            unit = 10 ** (len(str(size)) - 3)
            size = (size + unit // 2) // unit * unit
        self._often[size] += 1

    def told(self) -> Spread | None:
        total = self._often.total()
        if not total:
            return None
        return Spread(
            least=self._least,
            median=self._at(0.5, total),
            p90=self._at(0.9, total),
            p99=self._at(0.99, total),
            most=self._most,
            sum=self._sum,
        )

    def _at(self, part: float, total: int) -> int:
        passed = 0
        for size in sorted(self._often):
            passed += self._often[size]
            if passed >= part * total:
                return min(max(size, self._least), self._most)
        return self._most


class _Body(Struct, gc=False):
    model: Any = ""
    instructions: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET


class _Row(Struct, gc=False):
    body: Raw
    custom_id: Any = ""
    url: Any = ""


class _Requests:
    def __init__(self) -> None:
        self._endpoints, self._models = Counter[str](), Counter[str]()
        self._line_bytes, self._tokens = _Sizes(), _Sizes()
        self._ids, self._whole, self._prompts = Seen(), Seen(), Seen()
        self._same_ids = self._same_whole = self._unreadable = 0
        # By the hash of a prompt: the line of its first repeat, and how many repeats it has.
        self._repeats: dict[int, list[int]] = {}

    def take(self, number: int, line: bytes) -> None:
        self._line_bytes.add(len(line))
        try:
            row = _row(line)
            body = _body(row.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._unreadable += 1
            return
        raw = bytes(row.body)
        self._endpoints[str(row.url)] += 1
        self._models[str(body.model)] += 1
        self._tokens.add(len(raw) // _BYTES_PER_TOKEN)
        self._same_ids += not self._ids.add(str(row.custom_id))
        self._same_whole += not self._whole.add((str(row.url), raw))
        asked = (body.instructions, body.messages, body.input, body.prompt)
        prompt = tuple(b"" if isinstance(one, UnsetType) else bytes(one) for one in asked)
        if any(prompt) and not self._prompts.add(prompt):
            self._repeats.setdefault(hash(prompt), [number, 0])[1] += 1

    def told(self) -> RequestStats:
        often = sorted(self._repeats.values(), key=lambda one: (-one[1], one[0]))
        return RequestStats(
            requests=self._endpoints.total(),
            endpoints=dict(self._endpoints.most_common()),
            models=dict(self._models.most_common()),
            line_bytes=self._line_bytes.told(),
            input_tokens=self._tokens.told(),
            repeated_custom_ids=self._same_ids,
            repeated_requests=self._same_whole,
            repeated_prompts=sum(times for _, times in often),
            repeats=tuple(Repeat(line=line, times=times) for line, times in often[:5]),
            unreadable=self._unreadable,
        )


class _Results:
    def __init__(self) -> None:
        self._outcomes, self._codes = Counter[str](), Counter[str]()
        self._models, self._labels = Counter[str](), Counter[str]()
        self._line_bytes, self._read, self._written = _Sizes(), _Sizes(), _Sizes()
        self._ids = Seen()
        self._same_ids = self._unreadable = 0
        self._has_labels = True

    def take(self, number: int, line: bytes) -> None:
        self._line_bytes.add(len(line))
        found = result_of(line, number)
        if found is None:
            self._unreadable += 1
            return
        self._outcomes[found.outcome] += 1
        self._same_ids += not self._ids.add(found.custom_id)
        if not found.succeeded:
            self._codes[found.code or "(none)"] += 1
        body = found.body
        if isinstance(body, dict) and "model" in body:
            self._models[str(body["model"])] += 1
        facts = facts_of(found)
        if facts is not None and facts.total_tokens:
            self._read.add(facts.input_tokens)
            self._written.add(facts.output_tokens)
        self._take_label(found)

    def _take_label(self, found: Result) -> None:
        text = found.text if self._has_labels and found.succeeded else None
        if text is not None:
            self._labels[text] += 1
            self._has_labels = len(text) <= _LABEL_CHARACTERS and len(self._labels) <= _LABELS_MAX

    def told(self) -> ResultStats:
        return ResultStats(
            results=self._outcomes.total(),
            outcomes=dict(self._outcomes.most_common()),
            codes=dict(self._codes.most_common()),
            models=dict(self._models.most_common()),
            line_bytes=self._line_bytes.told(),
            input_tokens=self._read.told(),
            output_tokens=self._written.told(),
            labels=dict(self._labels.most_common()) if self._has_labels else {},
            repeated_custom_ids=self._same_ids,
            unreadable=self._unreadable,
        )


_row = msgspec.json.Decoder(_Row).decode
_body = msgspec.json.Decoder(_Body).decode
