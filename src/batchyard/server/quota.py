"""Quotas of enqueued tokens: as OpenAI's rate limits of a project, and as what is free of them."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from batchyard.rules.quota import free_tokens
from batchyard.server.answers import answer
from batchyard.server.gate import demand, project_of
from batchyard.server.params import integer_of, json_object, limit_of, query_of
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.objects import Page, Quota, QuotaHolder, RateLimit

__all__ = ["headroom", "list_rate_limits", "set_rate_limit"]

# (least, most, default) of `limit`.
_PAGE = (1, 100, 100)
_TOKENS = (0, 2**53 - 1)
# In the place of a limit that is not there, where OpenAI's object must have a number.
_NO_LIMIT = 2**53 - 1
_ANY_MODEL = "*"
_MODEL_CHARACTERS_MAX = 256
_NOT_OURS = (
    "max_requests_per_1_minute",
    "max_tokens_per_1_minute",
    "max_images_per_1_minute",
    "max_audio_megabytes_per_1_minute",
    "max_requests_per_1_day",
)


async def headroom(request: Request, yard: Yard) -> Response:
    """What may be enqueued now, by model; and which batches hold the rest."""
    project = project_of(request.scope)
    found = await yard.pages.run(yard.records.headroom, project)
    return answer(
        {
            "object": "list",
            "data": [
                Quota(
                    model=one.model,
                    limit=one.limit,
                    used=one.used,
                    free=free_tokens(one.limit, one.used),
                    holders=tuple(QuotaHolder(h.batch_id, h.tokens) for h in one.holders),
                    waiting=tuple(QuotaHolder(h.batch_id, h.tokens) for h in one.waiting),
                )
                for one in found
            ],
        }
    )


async def list_rate_limits(request: Request, yard: Yard) -> Response:
    """List the limits of a project, for every model that is served or has a limit."""
    project = _project(request)
    limits = await yard.pages.run(yard.records.limits, project)
    names = sorted({_ANY_MODEL, *limits, *(model.id for model in (await yard.models()).models)})
    rows = [_rate_limit(yard, name, limits.get(name, limits.get(_ANY_MODEL))) for name in names]
    shown, more = _page(rows, request)
    return answer(Page.of(shown, has_more=more))


async def set_rate_limit(request: Request, yard: Yard) -> Response:
    """Set the tokens that may be enqueued for one model; null is no limit.

    A quota that whoever it binds may raise is none: the key must have been made for this.
    """
    project = _project(request)
    demand(request.scope, "api.limits.write", by_name=True)
    id = request.path_params["rate_limit_id"]
    model = id.removeprefix("rl-")
    if not id.startswith("rl-") or not 0 < len(model) <= _MODEL_CHARACTERS_MAX or "\0" in model:
        raise ApiError(404, f"No rate limit found with id '{id[:_MODEL_CHARACTERS_MAX]}'.")
    body = await json_object(request)
    for name in _NOT_OURS:
        if body.get(name) is not None:
            message = f"Unsupported parameter: '{name}'. This server limits enqueued tokens only."
            raise ApiError(400, message, code="unsupported_parameter", param=name)
    if "batch_1_day_max_input_tokens" not in body:
        raise ApiError.missing("batch_1_day_max_input_tokens")
    most = integer_of(body, "batch_1_day_max_input_tokens", _TOKENS)
    await yard.store.run(yard.records.set_limit, project, model, most, yard.now())
    yard.ring()
    return answer(_rate_limit(yard, model, most))


def _project(request: Request) -> str:
    """The project in the path, which must be that of the key."""
    id: str = request.path_params["id"]
    if id != project_of(request.scope):
        raise ApiError(404, f"No project found with id '{id}'.")
    return id


def _rate_limit(yard: Yard, model: str, most: int | None) -> RateLimit:
    return RateLimit(
        id=f"rl-{model}",
        model=model,
        max_requests_per_1_minute=yard.settings.requests_per_minute or _NO_LIMIT,
        max_tokens_per_1_minute=_NO_LIMIT,
        batch_1_day_max_input_tokens=most,
    )


def _page(rows: Sequence[RateLimit], request: Request) -> tuple[tuple[RateLimit, ...], bool]:
    """A page after one id or before another; an unknown one gives none."""
    limit, ids = limit_of(request, _PAGE), [row.id for row in rows]
    after, before = query_of(request, "after"), query_of(request, "before")
    if not {after, before} - {None} <= set(ids):
        return (), False
    first = 0 if after is None else ids.index(after) + 1
    last = len(rows) if before is None else ids.index(before)
    if before is not None and after is None:
        first = max(first, last - limit)
        return tuple(rows[first:last]), first > 0
    return tuple(rows[first:last][:limit]), last - first > limit
