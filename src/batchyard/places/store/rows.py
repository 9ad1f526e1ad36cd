"""What goes into the store and comes out of it, beside the API's own objects."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from batchyard.wire.objects import BatchStatus, FailureCount

__all__ = [
    "AskedModel",
    "BatchStanding",
    "BatchTally",
    "Bearer",
    "Content",
    "Course",
    "FileRow",
    "Headroom",
    "Holder",
    "KeyRow",
    "LaneRow",
    "Lease",
    "NewBatch",
    "NewShard",
    "Outlook",
    "Part",
    "ProjectRow",
    "Recording",
    "SegmentMark",
    "ShardMark",
    "Shortage",
    "Shortfall",
    "Unanswered",
    "Waiting",
    "WebhookRow",
]


class Part(Struct, frozen=True, array_like=True):
    """The first `size_bytes` of a blob, as a part of a file.

    Without `sha256` that of the file is meant, which then has this part alone.
    """

    blob: str
    size_bytes: int
    sha256: str = ""


class FileRow(Struct, frozen=True, kw_only=True):
    """A file to be kept, and the place of its bytes."""

    id: str
    project_id: str
    purpose: str
    filename: str
    size_bytes: int
    sha256: str
    created_at: int
    expires_at: int | None = None
    parts: tuple[Part, ...]
    digest: bytes | None = None


class Content(Struct, frozen=True, kw_only=True):
    """Where the bytes of a file are; `digest` is what validation learned of them."""

    file_id: str
    filename: str
    purpose: str
    size_bytes: int
    sha256: str
    created_at: int
    parts: tuple[Part, ...]
    digest: bytes | None
    gone: bool


class KeyRow(Struct, frozen=True, kw_only=True):
    """An API key without its secret; `hint` is the masked form that may be shown."""

    id: str
    project_id: str
    name: str
    hint: str
    created_at: int
    revoked_at: int | None = None
    scopes: tuple[str, ...] | None = None
    expires_at: int | None = None
    last_used_at: int | None = None


class ProjectRow(Struct, frozen=True, kw_only=True):
    """A project; `profile` and `limits` say where it differs from the server's settings."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None
    profile: str | None = None
    limits: dict[str, int] | None = None


class Bearer(Struct, frozen=True):
    """A live key and the project that it opens."""

    key: KeyRow
    project: ProjectRow | None


class WebhookRow(Struct, frozen=True, kw_only=True):
    """A webhook endpoint with its secrets; `old_secret` signs too until its time is over."""

    id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    secret: str
    old_secret: str | None = None
    old_secret_until: int | None = None
    created_at: int
    updated_at: int | None = None
    disabled_at: int | None = None
    disabled_because: str | None = None


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch as it is created."""

    id: str
    project_id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    metadata: dict[str, str] | None = None
    output_expires_after_seconds: int | None = None
    line_id_prefix: str
    priority: int = 0
    retry_of: str | None = None
    budget: dict[str, float] | None = None


class NewShard(Struct, frozen=True, array_like=True):
    """A run of lines, of which those of one model are meant.

    Where lines of other models stand between them, these count as answered from the start.
    """

    model: str
    start: int
    size_bytes: int
    first_index: int
    lines: int
    remaining: int
    answered: bytes


class AskedModel(Struct, frozen=True):
    """What a batch asks of one model; tokens are those of its input, as estimated."""

    model: str
    lines: int
    tokens: int
    # A `money.Price` as plain JSON.
    price: dict[str, int | str] | None = None


class Shortage(Struct, frozen=True):
    """A model of which fewer tokens are free than a batch needs."""

    model: str
    limit: int
    used: int
    tokens: int


class Holder(Struct, frozen=True):
    """A batch and the tokens that it holds, or waits for."""

    batch_id: str
    tokens: int


class Headroom(Struct, frozen=True, kw_only=True):
    """What is used of a project's quota for one model, and who uses it; oldest first."""

    model: str
    limit: int | None
    holders: tuple[Holder, ...] = ()
    waiting: tuple[Holder, ...] = ()

    @property
    def used(self) -> int:
        """Tokens held."""
        return sum(one.tokens for one in self.holders)


class Shortfall(Struct, frozen=True):
    """A model of which a batch waits for tokens, and who holds them, the most first."""

    model: str
    limit: int
    used: int
    tokens: int
    holders: tuple[str, ...]


class BatchStanding(Struct, frozen=True, kw_only=True):
    """How a batch stands, beside what the API's object has.

    `above` counts the batches that go before it, as long as nothing of it is under way.
    """

    id: str
    project_id: str
    sequence: int
    status: BatchStatus
    admitted_at: int | None
    in_progress_at: int | None
    paused_at: int | None
    paused_by: str | None
    priority: int
    budget: dict[str, float] | None
    retry_of: str | None
    models: tuple[str, ...]
    tokens_held: int
    short: tuple[Shortfall, ...]
    above: int
    moved_at: int | None = None


class LaneRow(Struct, frozen=True, kw_only=True):
    """What a worker said of its lane to a model at an upstream, as JSON."""

    model: str
    upstream: str
    standing: bytes
    said_at: int


class Course(Struct, frozen=True, kw_only=True):
    """A batch as the flow sees it when a step of its course is due."""

    id: str
    project_id: str
    status: BatchStatus
    endpoint: str
    input_file_id: str
    created_at: int
    expires_at: int
    populated: bool
    total: int
    completed: int
    failed: int
    open_shards: int
    output_expires_after_seconds: int | None
    line_id_prefix: str
    finalizing_at: int | None
    budget: dict[str, float] | None = None


class Outlook(Struct, frozen=True):
    """What is due now, and when something will be by itself.

    `next_expiry` is of the wall clock; `next_death`, when a worker is given up unless it renews, of
    the steady one.
    """

    courses: tuple[Course, ...]
    next_expiry: int | None
    next_death: float | None


class Waiting(Struct, frozen=True):
    """A running batch with shards of one model that nobody holds, and their lines.

    `lines_left` are all of this model that lack an answer, whoever holds them.
    """

    batch_id: str
    project_id: str
    model: str
    shards: int
    lines: int
    lines_left: int
    expires_at: int
    sequence: int
    priority: int


class Lease(Struct, frozen=True, kw_only=True):
    """A shard in a worker's hands; every write for it must name this `epoch`."""

    batch_id: str
    position: int
    model: str
    start: int
    size_bytes: int
    first_index: int
    lines: int
    remaining: int
    answered: bytes
    epoch: int
    losses: int
    # Lines of which one is suspected to have ended its worker, as a mask; None: any.
    suspects: bytes | None = None
    endpoint: str
    expires_at: int
    line_id_prefix: str
    input_file_id: str
    project_id: str
    mixed: bool
    budgeted: bool = False
    priority: int = 0
    sequence: int = 0


class ShardMark(Struct, frozen=True):
    """The answers of one shard after a piece: the whole mask, and what is still missing."""

    batch_id: str
    position: int
    epoch: int
    answered: bytes
    remaining: int


class BatchTally(Struct, frozen=True, kw_only=True):
    """What a piece adds to the counts of one batch, of one model's lines."""

    batch_id: str
    model: str
    project_id: str
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    calls: int = 0


class SegmentMark(Struct, frozen=True):
    """How far a segment reaches, counted from its start."""

    batch_id: str
    blob: str
    kind: Literal["output", "error"]
    size_bytes: int
    lines: int
    sha256: str


class Recording(Struct, frozen=True):
    """A piece: results whose bytes are durable already, to be recorded in one transaction."""

    shards: tuple[ShardMark, ...]
    tallies: tuple[BatchTally, ...]
    segments: tuple[SegmentMark, ...]
    now: int
    # The causes of the lines that failed, by batch.
    failures: Mapping[str, Sequence[FailureCount]] = {}


class Unanswered(Struct, frozen=True):
    """A shard of a batch that ends, with the mask of the lines that have their answer."""

    start: int
    size_bytes: int
    first_index: int
    lines: int
    remaining: int
    answered: bytes
