"""Batches: create, list, retrieve, cancel."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.promises import Promise
from batchyard.places.store.rows import NewBatch
from batchyard.rules.endpoints import SELF_HOSTED
from batchyard.rules.limits import BATCHES_PAGE, Limits, window_seconds
from batchyard.rules.schedule import PRIORITY_RANGE
from batchyard.server.allowance import check_batches
from batchyard.server.answers import answer
from batchyard.server.dialects import Dialect
from batchyard.server.extras import dressed, dressed_page
from batchyard.server.gate import dialect_of, limits_of, project_of
from batchyard.server.params import (
    budget_of,
    expires_after_of,
    integer_of,
    json_object,
    limit_of,
    metadata_of,
    query_of,
    string_of,
)
from batchyard.server.promises import once
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import batch_id, line_id_prefix
from batchyard.wire.objects import Page

__all__ = ["cancel", "create", "list_", "retrieve", "window_of"]


async def create(request: Request, yard: Yard) -> Response:
    """Create a batch; what is wrong with its input shows on the batch, not here."""
    body = await json_object(request)
    return await once(request, yard, body, partial(_create, request, yard, body))


async def _create(
    request: Request, yard: Yard, body: dict[str, Any], promise: Promise | None
) -> Response:
    project, now = project_of(request.scope), yard.now()
    input_file_id = string_of(body, "input_file_id")
    if not input_file_id:
        raise ApiError.empty("input_file_id")
    endpoint = _endpoint(
        string_of(body, "endpoint"), dialect_of(request.scope), limits_of(request.scope)
    )
    window, seconds = window_of(string_of(body, "completion_window"), limits_of(request.scope))
    metadata = metadata_of(body)
    lifetime = expires_after_of("output_expires_after", body.get("output_expires_after"))
    found = await yard.store.run(yard.records.file, project, input_file_id, now)
    if found is not None and found.purpose != "batch":
        raise ApiError(
            400,
            f"Invalid 'input_file_id': the file has the purpose '{found.purpose}'; upload it with "
            "the purpose 'batch'.",
            code="invalid_value",
            param="input_file_id",
        )
    await check_batches(request, yard)
    new = NewBatch(
        id=batch_id(yard.chance),
        project_id=project,
        endpoint=endpoint,
        input_file_id=input_file_id,
        completion_window=window,
        created_at=now,
        expires_at=now + seconds,
        metadata=metadata,
        output_expires_after_seconds=lifetime,
        line_id_prefix=line_id_prefix(yard.chance),
        priority=_priority(body, limits_of(request.scope)),
        budget=budget_of(body, limits_of(request.scope)),
    )
    batch = await yard.store.run(yard.records.add_batch, new, promise)
    yard.ring()
    return answer(await dressed(yard, request.scope, batch))


async def list_(request: Request, yard: Yard) -> Response:
    """List batches, newest first."""
    limit, after = limit_of(request, BATCHES_PAGE), query_of(request, "after")
    shown, more = await yard.pages.run(
        yard.records.batches, project_of(request.scope), after=after, limit=limit
    )
    shown = await dressed_page(yard, request.scope, shown)
    return answer(Page.of(shown, has_more=more))


async def retrieve(request: Request, yard: Yard) -> Response:
    """Show one batch."""
    id = request.path_params["id"]
    batch = await yard.reads.run(yard.records.batch, project_of(request.scope), id)
    if batch is None:
        raise ApiError.no_such_batch(id)
    return answer(await dressed(yard, request.scope, batch))


async def cancel(request: Request, yard: Yard) -> Response:
    """Ask a batch to stop; one that has ended cannot, unless it was cancelled."""
    id = request.path_params["id"]
    batch = await yard.store.run(
        yard.records.cancel_batch, project_of(request.scope), id, yard.now()
    )
    if batch is None:
        raise ApiError.no_such_batch(id)
    if batch.status in ("completed", "failed", "expired"):
        raise ApiError.cannot_cancel(batch.status)
    yard.ring()
    return answer(await dressed(yard, request.scope, batch))


def _priority(body: dict[str, Any], limits: Limits) -> int:
    """Who goes first; OpenAI has no such parameter."""
    if not limits.extras:
        return 0
    return integer_of(body, "priority", PRIORITY_RANGE) or 0


def _endpoint(given: str, dialect: Dialect, limits: Limits) -> str:
    foreign = () if limits.self_hosted else SELF_HOSTED
    endpoint = dialect.endpoint(given)
    if endpoint is None or endpoint in foreign:
        choices = tuple(one for one in dialect.endpoints if one not in foreign)
        raise ApiError.invalid_value("endpoint", given, choices)
    return endpoint


def window_of(text: str, limits: Limits) -> tuple[str, int]:
    """A completion window, and its seconds."""
    seconds = window_seconds(text, limits)
    if seconds is None:
        if limits.window_seconds_range is None:
            raise ApiError.invalid_value("completion_window", text, ("24h",))
        raise ApiError(
            400,
            f"Invalid value: '{text[:100]}'. Supported values are any from 1 minute to 30 days: a "
            "number and m, h or d, such as '90m', '24h' and '7d'.",
            code="invalid_value",
            param="completion_window",
        )
    return text, seconds
