"""OpenAI's API objects, with OpenAI's field names in OpenAI's order; times are Unix seconds."""

from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchStatus",
    "BatchUsage",
    "Cost",
    "Deleted",
    "Extras",
    "FailureCount",
    "File",
    "InputTokensDetails",
    "LaneStatus",
    "Model",
    "OutputTokensDetails",
    "Page",
    "Quota",
    "QuotaHolder",
    "RateLimit",
    "Reason",
    "RequestCounts",
    "Upload",
    "UploadPart",
    "UploadStatus",
    "to_json",
]

BatchStatus = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]


class RequestCounts(Struct, frozen=True):
    """Lines of a batch; `failed` leaves out lines that never ran: expired or cancelled ones."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class InputTokensDetails(Struct, frozen=True):
    """Part of `BatchUsage.input_tokens`."""

    cached_tokens: int = 0


class OutputTokensDetails(Struct, frozen=True):
    """Part of `BatchUsage.output_tokens`."""

    reasoning_tokens: int = 0


class BatchUsage(Struct, frozen=True):
    """Tokens over all answers of a batch, as the upstream counted them."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int = 0


class BatchError(Struct, frozen=True):
    """One reason why an input file was refused; `line` counts physical lines from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(Struct, frozen=True):
    """The list form in which a batch carries its errors."""

    data: tuple[BatchError, ...]
    object: Literal["list"] = "list"


class Reason(Struct, frozen=True):
    """Why a batch does not move now: a code, a sentence, and since when."""

    code: str
    message: str
    since: int | None = None


class FailureCount(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many lines of a batch failed for one cause, with the first of them as the example.

    `code` is that of the upstream's error or of our own; `status` is the HTTP status of the
    upstream's answer, None where there was none. `line` counts requests from 1. `message` is an
    excerpt.
    """

    code: str
    status: int | None = None
    count: int
    line: int
    custom_id: str | None = None
    message: str = ""


class LaneStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The requests in flight to one model at one upstream, summed over the workers.

    `limit` is how many may be in flight now, `limited_by` why no more, `waiting` how many
    lines wait to be tried again. `reason` says why the lane stands still, as a code, a colon and a
    detail; `since` is when that began.
    """

    model: str
    upstream: str
    in_flight: int
    limit: int
    limited_by: str = ""
    waiting: int = 0
    reason: str | None = None
    since: int | None = None


class Cost(Struct, frozen=True, kw_only=True):
    """What a batch has cost so far in US dollars, and what real-time requests would have."""

    usd: float
    realtime_usd: float
    saved_usd: float
    prices: str


class Extras(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What we know of a batch beyond OpenAI's fields; keys without a value are left out.

    `eta_at` is when it will be done at its present rate, `verdict` what that means for its
    `expires_at`. `tokens_held` are those that it occupies of its quota. `failures` are the causes
    of failed lines, the most frequent first, and `lanes` where its lines are sent.
    """

    reason: Reason | None = None
    eta_at: int | None = None
    verdict: Literal["on_track", "at_risk", "will_miss"] | None = None
    lines_per_second: float | None = None
    tokens_held: int | None = None
    paused_at: int | None = None
    paused_by: str | None = None
    budget: dict[str, float] | None = None
    cost: Cost | None = None
    retry_of: str | None = None
    retried_by: tuple[str, ...] = ()
    failures: tuple[FailureCount, ...] = ()
    lanes: tuple[LaneStatus, ...] = ()


class Batch(Struct, frozen=True, kw_only=True):
    """A batch as the API shows it; every key of OpenAI's is present, null where it has no value.

    `batchyard` is ours, and left out in the strict profile.
    """

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    usage: BatchUsage | None = None
    metadata: dict[str, str] | None = None
    batchyard: Extras | UnsetType = UNSET


class File(Struct, frozen=True, kw_only=True):
    """A file as the API shows it; `status` is deprecated at OpenAI, yet SDKs require it."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class Upload(Struct, frozen=True, kw_only=True):
    """A file that comes in parts; `expires_at` is when the last of them must be there."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: UploadStatus = "pending"
    file: File | None = None


class UploadPart(Struct, frozen=True, kw_only=True):
    """One part of it; parts have no order until the upload is completed."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


class Model(Struct, frozen=True, kw_only=True):
    """A model that an upstream serves."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None


class RateLimit(Struct, frozen=True, kw_only=True):
    """The limits of a project for one model; the model "*" stands for all without their own.

    `batch_1_day_max_input_tokens` is OpenAI's name for the tokens that may be enqueued at once;
    null is no limit.
    """

    id: str
    object: Literal["project.rate_limit"] = "project.rate_limit"
    model: str
    max_requests_per_1_minute: int
    max_tokens_per_1_minute: int
    batch_1_day_max_input_tokens: int | None = None


class QuotaHolder(Struct, frozen=True):
    """A batch and the tokens that it holds, or waits for."""

    batch_id: str
    tokens: int


class Quota(Struct, frozen=True, kw_only=True):
    """Enqueued tokens of one model: what may be used, what is, and by whom; ours alone."""

    object: Literal["batchyard.quota"] = "batchyard.quota"
    model: str
    limit: int | None
    used: int
    free: int | None
    holders: tuple[QuotaHolder, ...]
    waiting: tuple[QuotaHolder, ...]


class Deleted(Struct, frozen=True, kw_only=True):
    """The answer to a deletion."""

    id: str
    object: str
    deleted: bool = True


T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list; the next begins `after` its `last_id`."""

    object: Literal["list"] = "list"
    data: tuple[T, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, shown: tuple[T, ...], *, has_more: bool) -> "Page[T]":
        """Page the objects `shown`; ids are null on an empty page."""
        ids: list[str] = [one.id for one in shown]  # type: ignore[attr-defined]
        return cls(
            data=shown,
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=has_more,
        )


def to_json(value: Any) -> bytes:
    """Render any object of this module, or plain JSON data, as compact JSON."""
    return msgspec.json.encode(value)
