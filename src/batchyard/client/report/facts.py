"""What a report tells, as values: made by gathering, shown by the page, or written as JSON."""

from collections.abc import Mapping

from msgspec import Struct

from batchyard.client.examining.estimating import Estimate
from batchyard.client.report.agreement import Agreement
from batchyard.client.report.tallies import Spread
from batchyard.wire.objects import Cost

__all__ = ["Asked", "Facts", "Fault", "Field", "Flow", "ModelScore", "Planned", "Shown", "Spending"]


class Asked(Struct, frozen=True, kw_only=True):
    """What was asked. `requests` by url and model; `first` is the body of the first request."""

    base_url: str
    window: str
    endpoints: Mapping[str, int]
    models: Mapping[str, int]
    parameters: Mapping[str, str]
    instructions: str
    first_id: str
    first: str
    schema: str
    sha256: str


class Planned(Struct, frozen=True, kw_only=True):
    """One batch of the plan; when it was made and ended, 0 where the server does not tell."""

    name: str
    round: int
    url: str
    requests: int
    tokens: int
    status: str
    batch_id: str | None
    created_at: int
    ended_at: int
    trouble: str


class Shown(Struct, frozen=True):
    """One request, shown as an example: what was asked, and what came back or what was wrong."""

    custom_id: str
    asked: str
    answered: str


class Fault(Struct, frozen=True, kw_only=True):
    """All that ended with one code."""

    outcome: str
    code: str
    count: int
    samples: tuple[Shown, ...]


class Field(Struct, frozen=True, kw_only=True):
    """One field of the answers: how often each label came, or where its numbers lie.

    `closed`: the requests' own schema lists all labels. `others` came with labels beyond those
    counted.
    """

    name: str
    closed: bool
    total: int
    counts: Mapping[str, int]
    others: int
    spread: Spread | None


class Spending(Struct, frozen=True, kw_only=True):
    """Tokens of all answers of one model, and dollars where a price is known."""

    model: str
    answers: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usd: float | None


class ModelScore(Struct, frozen=True, kw_only=True):
    """How many answers of a model are the gold ones."""

    model: str
    cases: int
    right: int
    low: float
    high: float


class Flow(Struct, frozen=True, kw_only=True):
    """Answers in time: those of each `step` seconds from `begins`, by their own word."""

    begins: int
    step: int
    counts: tuple[int, ...]


class Facts(Struct, frozen=True, kw_only=True):
    """All that a report tells. `label` is the field whose labels matter, if there is one.

    `rows`: what is counted are rows of a table, whose answers are from `sources`; else requests.
    `tries[n]` counts requests asked n+1 times. `unreadable` lines of the results are in no count.
    `scorer` says what made the `scores`, where it was not the gold labels; `ungraded` answers have
    none. `again`: whether the tokens are also those of answers that were asked for again.
    """

    title: str
    made_at: int
    rows: bool
    requests: int
    sources: Mapping[str, int]
    outcomes: Mapping[str, int]
    tries: tuple[int, ...]
    unreadable: int
    asked: Asked | None
    planned: tuple[Planned, ...]
    batches: int
    rounds: int
    faults: tuple[Fault, ...]
    other_faults: int
    fields: tuple[Field, ...]
    label: str | None
    agreement: Agreement | None
    scores: tuple[ModelScore, ...]
    scorer: str
    ungraded: int
    samples: tuple[Shown, ...]
    spending: tuple[Spending, ...]
    again: bool
    cost: Cost | None
    estimate: Estimate | None
    flow: Flow | None
    latency: Spread | None
    lengths: Spread | None
