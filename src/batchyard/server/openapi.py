"""What can be said to every route and what it answers: data, from which its description is made.

A route that stands in `server/app.py` and not here fails a test. Its sentence is that of its
endpoint, its scope stands beside it; this table has the rest.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchyard.rules.endpoints import EVERYWHERE
from batchyard.rules.limits import (
    BATCHES_PAGE,
    FILES_PAGE,
    RESULTS_MAX,
    UPLOAD_BYTES_MAX,
)
from batchyard.rules.schedule import PRIORITY_RANGE
from batchyard.rules.telling import ENDPOINTS_PAGE
from batchyard.server.vocabulary import (
    BUDGET,
    BYTES,
    CODES,
    COUNT,
    ENDPOINT_SENTENCE,
    EXPIRES_AFTER,
    GROUPED,
    HOOK,
    LIFETIME,
    LINES,
    OFFSET,
    ONCE,
    PURPOSE,
    RANGE,
    STATUSES,
    TAGS,
    TEXT,
    TEXT_OR_NULL,
    USED,
    WINDOW_SENTENCE,
    Param,
    buckets_of,
    days_of,
    integer,
    list_of,
    one_of,
    or_null,
    page_of,
    tokens_of,
)
from batchyard.wire.objects import (
    Batch,
    Deleted,
    File,
    Model,
    Page,
    Quota,
    RateLimit,
    Upload,
    UploadPart,
)
from batchyard.wire.webhooks import EVENT_TYPES, EventTypes, WebhookEndpoint, WebhookTest

__all__ = ["DESCRIBED", "ERRORS", "Described"]


class Described(Struct, frozen=True, kw_only=True):
    """What a route takes and gives.

    `answer` is the type of a JSON answer (a list of a type without pages is `[type]`), or its
    media types by name. `refuses` are statuses beside those that every route may answer with.
    """

    answer: Any
    query: tuple[Param, ...] = ()
    headers: tuple[Param, ...] = ()
    body: tuple[Param, ...] = ()
    form: bool = False
    may_be_empty: bool = False
    refuses: tuple[int, ...] = ()
    ours: bool = False


# By status: what it means, and the codes that may stand in it.
ERRORS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    400: (
        "A parameter is missing or wrong; `param` names it.",
        (
            "missing_required_parameter",
            "invalid_type",
            "invalid_value",
            "integer_below_min_value",
            "integer_above_max_value",
            "object_above_max_properties",
            "property_name_above_max_length",
            "string_above_max_length",
            "unsupported_parameter",
            "idempotency_key_reused",
            "empty_array",
            "empty_string",
            "storage_limit_exceeded",
            "webhook_endpoint_limit_reached",
            "webhook_delivery_failed",
        ),
    ),
    401: (
        "The key is missing, wrong, revoked or expired, or belongs elsewhere.",
        (
            "invalid_api_key",
            "mismatched_organization",
            "mismatched_project",
            "not_authorized_invalid_project",
        ),
    ),
    403: ("The key lacks the scope that is needed.", ()),
    404: ("There is none with this id in your project.", ("model_not_found",)),
    405: ("The path takes other methods; `Allow` names them.", ("method_not_supported",)),
    409: (
        "It is not in a state in which this can be done.",
        ("idempotency_key_in_use", "budget_reached"),
    ),
    413: ("The request is larger than what is taken.", ()),
    415: ("The body has another content type than the one that is taken.", ()),
    416: ("The range is not within the file.", ()),
    429: (
        "The key asked too often; `Retry-After` says when to ask again.",
        ("rate_limit_exceeded",),
    ),
    500: ("The server had an error, or bytes are damaged.", ("file_corrupt",)),
    503: ("The server cannot do it now; `Retry-After` says when to ask again.", ()),
    507: ("The disk of the server is full.", ("insufficient_storage",)),
}

_ASKED, _TAKEN = (400,), (400, 413, 415)
_ONCE_TAKEN = (400, 409, 413, 415)

DESCRIBED: Mapping[str, Described] = {
    "GET /v1/files": Described(
        answer=Page[File],
        query=(
            *page_of(FILES_PAGE),
            Param("order", one_of("desc", "asc"), "By `created_at`; newest first by default."),
            Param("purpose", TEXT, "Only files of this purpose."),
        ),
        refuses=_ASKED,
    ),
    "POST /v1/files": Described(
        answer=File,
        body=(Param("file", BYTES, "The file.", True), PURPOSE, LIFETIME),
        form=True,
        headers=ONCE,
        refuses=_TAKEN,
    ),
    "GET /v1/files/{id}": Described(answer=File, refuses=(404,)),
    "DELETE /v1/files/{id}": Described(answer=Deleted, refuses=(404,)),
    "GET /v1/files/{id}/content": Described(
        answer={"application/jsonl": BYTES, "application/octet-stream": BYTES},
        headers=RANGE,
        refuses=(400, 404, 416),
    ),
    "POST /v1/uploads": Described(
        answer=Upload,
        body=(
            Param("filename", TEXT, "The name of the file.", True),
            PURPOSE,
            Param("bytes", integer(0, UPLOAD_BYTES_MAX), "How many bytes will come.", True),
            Param("mime_type", TEXT, "Its media type, such as `application/jsonl`.", True),
            LIFETIME,
        ),
        headers=ONCE,
        refuses=_TAKEN,
    ),
    "POST /v1/uploads/{id}/parts": Described(
        answer=UploadPart,
        body=(Param("data", BYTES, "The bytes of this part, up to 64 MiB.", True),),
        form=True,
        refuses=(404, *_TAKEN),
    ),
    "POST /v1/uploads/{id}/complete": Described(
        answer=Upload,
        body=(
            Param("part_ids", list_of(TEXT), "The parts in the order of the file.", True),
            Param("md5", TEXT, "The MD5 checksum of the file, which is checked."),
        ),
        headers=ONCE,
        refuses=(404, *_TAKEN),
    ),
    "POST /v1/uploads/{id}/cancel": Described(answer=Upload, refuses=(400, 404)),
    "GET /v1/batches": Described(answer=Page[Batch], query=page_of(BATCHES_PAGE), refuses=_ASKED),
    "POST /v1/batches": Described(
        answer=Batch,
        body=(
            Param("input_file_id", TEXT, "A file of the purpose `batch`.", True),
            Param("endpoint", one_of(*EVERYWHERE), ENDPOINT_SENTENCE, True),
            Param("completion_window", TEXT, WINDOW_SENTENCE, True),
            TAGS,
            Param("output_expires_after", EXPIRES_AFTER, "When its output and errors expire."),
            Param("priority", integer(*PRIORITY_RANGE, 0), "Higher goes first; ours alone."),
            BUDGET,
        ),
        headers=ONCE,
        refuses=(409, *_TAKEN),
    ),
    "GET /v1/batches/{id}": Described(answer=Batch, refuses=(404,)),
    "POST /v1/batches/{id}/cancel": Described(answer=Batch, refuses=(404, 409)),
    "POST /v1/batches/{id}/retry": Described(
        answer=Batch,
        body=(
            Param(
                "only",
                one_of("all_unsuccessful", "failed", "not_executed"),
                "Which lines; all without a good answer by default.",
            ),
            Param("codes", list_of(TEXT, 1), "Only lines with these error codes or statuses."),
            Param("completion_window", TEXT, WINDOW_SENTENCE),
            TAGS,
            BUDGET,
        ),
        headers=ONCE,
        may_be_empty=True,
        refuses=(404, 409, *_TAKEN),
        ours=True,
    ),
    "GET /v1/batches/{id}/results": Described(
        answer={"application/jsonl": BYTES, "text/csv": BYTES},
        query=(
            Param("after", TEXT, "What `X-Next-After` said before: only later lines are sent."),
            Param("limit", integer(1, RESULTS_MAX), "How many lines at most; all by default."),
            STATUSES,
            CODES,
            Param("format", one_of("jsonl", "csv"), "Lines of JSON by default."),
            Param("safe", one_of("0", "1"), "`1`: no cell of a table is a formula."),
        ),
        refuses=(400, 404),
        ours=True,
    ),
    "GET /v1/batches/{id}/output": Described(
        answer=LINES, query=(OFFSET,), refuses=(400, 404), ours=True
    ),
    "GET /v1/batches/{id}/errors": Described(
        answer=LINES, query=(OFFSET,), refuses=(400, 404), ours=True
    ),
    "POST /v1/batches/{id}/pause": Described(answer=Batch, refuses=(404, 409), ours=True),
    "POST /v1/batches/{id}/resume": Described(answer=Batch, refuses=(404, 409), ours=True),
    "GET /v1/batchyard/quota": Described(answer=[Quota], ours=True),
    "GET /v1/organization/projects/{id}/rate_limits": Described(
        answer=Page[RateLimit],
        query=(
            *page_of((1, 100, 100)),
            Param("before", TEXT, "The id before which the page ends."),
        ),
        refuses=(400, 404),
    ),
    "POST /v1/organization/projects/{id}/rate_limits/{rate_limit_id}": Described(
        answer=RateLimit,
        body=(
            Param(
                "batch_1_day_max_input_tokens",
                or_null(integer(0, 2**53 - 1)),
                "The tokens that may be enqueued; null is no limit.",
                True,
            ),
        ),
        refuses=(404, *_TAKEN),
    ),
    **{
        f"GET /v1/organization/usage/{kind}": Described(
            answer=buckets_of(
                {
                    "object": {"const": f"organization.usage.{kind}.result"},
                    "num_model_requests": COUNT,
                    **fields,
                    **GROUPED,
                }
            ),
            query=tokens_of(
                "project_id", "model", "batch", "user_id", "api_key_id", "service_tier"
            ),
            refuses=_ASKED,
        )
        for kind, fields in USED.items()
    },
    "GET /v1/organization/costs": Described(
        answer=buckets_of(
            {
                "object": {"const": "organization.costs.result"},
                "amount": {
                    "type": "object",
                    "properties": {"value": {"type": "number"}, "currency": {"const": "usd"}},
                },
                "line_item": TEXT_OR_NULL,
                "project_id": TEXT_OR_NULL,
            }
        ),
        query=days_of((1, 180, 7), "project_id", "line_item", "api_key_id"),
        refuses=_ASKED,
    ),
    "GET /v1/models": Described(answer=[Model]),
    "GET /v1/models/{id}": Described(answer=Model, refuses=(404,)),
    "GET /v1/webhook_endpoints": Described(
        answer=Page[WebhookEndpoint], query=page_of(ENDPOINTS_PAGE), refuses=_ASKED
    ),
    "POST /v1/webhook_endpoints": Described(answer=WebhookEndpoint, body=HOOK, refuses=_TAKEN),
    "GET /v1/webhook_endpoints/{id}": Described(answer=WebhookEndpoint, refuses=(404,)),
    "POST /v1/webhook_endpoints/{id}": Described(
        answer=WebhookEndpoint,
        body=tuple(Param(one.name, one.schema, one.sentence) for one in HOOK),
        refuses=(404, *_TAKEN),
    ),
    "DELETE /v1/webhook_endpoints/{id}": Described(answer=Deleted, refuses=(404,)),
    "POST /v1/webhook_endpoints/{id}/rotate_secret": Described(
        answer=WebhookEndpoint,
        body=(
            Param(
                "keep_old_secret_active_for_24_hours",
                {"type": "boolean", "default": False},
                "Whether the old secret signs too for a day.",
            ),
        ),
        may_be_empty=True,
        refuses=(404, *_TAKEN),
    ),
    "POST /v1/webhook_endpoints/{id}/test": Described(
        answer=WebhookTest,
        body=(Param("event_type", one_of(*EVENT_TYPES), "Of what it is told.", True),),
        refuses=(404, *_TAKEN),
    ),
    "GET /v1/webhook_event_types": Described(answer=EventTypes),
}
