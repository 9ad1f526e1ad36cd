"""Pause and resume: a batch that rests keeps its place, its answers and its deadline."""

from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.usage import OverBudgetError
from batchyard.server.answers import answer
from batchyard.server.extras import dressed, forget
from batchyard.server.gate import limits_of, project_of
from batchyard.server.params import budget_of, has_body, json_object
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.objects import Batch

__all__ = ["pause", "resume"]

_PAUSABLE = ("validating", "in_progress")


async def pause(request: Request, yard: Yard) -> Response:
    """Send no more lines of a batch; what is at the upstream still comes back and counts."""
    id = request.path_params["id"]
    batch = await yard.store.run(
        yard.records.pause_batch, project_of(request.scope), id, "user", yard.now()
    )
    return await _changed(request, yard, "pause", batch)


async def resume(request: Request, yard: Yard) -> Response:
    """Go on with a batch, whoever paused it; one that its budget stopped needs a larger one."""
    id, project = request.path_params["id"], project_of(request.scope)
    body = await json_object(request) if has_body(request) else {}
    budget = budget_of(body, limits_of(request.scope))
    try:
        batch = await yard.store.run(yard.records.resume_batch, project, id, budget)
    except OverBudgetError as error:
        raise ApiError(
            409,
            f"Cannot resume: the batch has reached its budget of {error}. Give a larger one: "
            '{"budget": {"tokens": N}} or {"budget": {"usd": X}}.',
            code="budget_reached",
            param="budget",
            headers={"x-should-retry": "false"},
        ) from None
    return await _changed(request, yard, "resume", batch)


async def _changed(request: Request, yard: Yard, verb: str, batch: Batch | None) -> Response:
    if batch is None:
        raise ApiError.no_such_batch(request.path_params["id"])
    if batch.status not in _PAUSABLE:
        raise ApiError.cannot(verb, batch.status)
    yard.ring()
    forget(yard, batch.id)
    return answer(await dressed(yard, request.scope, batch))
