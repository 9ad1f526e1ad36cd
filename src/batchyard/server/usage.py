"""Usage and costs of a project by day, in the shapes of OpenAI's organization API."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.usage import DAY_SECONDS, Used
from batchyard.server.answers import answer
from batchyard.server.gate import project_of
from batchyard.server.params import limit_of, one_of, query_of
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.money import PICODOLLARS

__all__ = ["completions", "costs", "embeddings"]

# (least, most, default) of `limit`: days on a page.
_USAGE_PAGE = (1, 31, 7)
_COSTS_PAGE = (1, 180, 7)
_TEXT_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
_GROUPS = ("project_id", "model", "batch", "user_id", "api_key_id", "service_tier")
_COST_GROUPS = ("project_id", "line_item", "api_key_id")
_SECONDS = re.compile(r"[0-9]{1,11}")
_PAGE = re.compile(r"page_([0-9]{1,11})")

Keys = Mapping[str, Callable[[Used], Any]]
Render = Callable[[Sequence[Used], dict[str, Any]], dict[str, Any]]


async def completions(request: Request, yard: Yard) -> Response:
    """Tokens of chat, completions and responses; all of it is batch."""
    return await _usage(request, yard, _TEXT_ENDPOINTS, _completions)


async def embeddings(request: Request, yard: Yard) -> Response:
    """Tokens of embeddings."""
    return await _usage(request, yard, ("/v1/embeddings",), _embeddings)


async def costs(request: Request, yard: Yard) -> Response:
    """What it costs, by the prices in force when each batch was validated."""
    groups = _groups(request, _COST_GROUPS)
    keys: Keys = {"project_id": _project, "line_item": _charged_for}
    return await _page(request, yard, _COSTS_PAGE, lambda _one: True, (groups, keys, _costs))


async def _usage(
    request: Request, yard: Yard, endpoints: Sequence[str], render: Render
) -> Response:
    models = _all_of(request, "models")
    only_batch = one_of(request, "batch", ("true", "false")) == "true"
    groups = _groups(request, _GROUPS)
    keys: Keys = {
        "project_id": _project,
        "model": lambda one: one.spent.model,
        "batch": lambda _: True,
    }

    def wanted(one: Used) -> bool:
        named = not models or one.spent.model in models
        return only_batch and named and one.endpoint in endpoints

    return await _page(request, yard, _USAGE_PAGE, wanted, (groups, keys, render))


async def _page(
    request: Request,
    yard: Yard,
    page: tuple[int, int, int],
    wanted: Callable[[Used], bool],
    shape: tuple[Sequence[str], Keys, Render],
) -> Response:
    one_of(request, "bucket_width", ("1d",))
    limit = limit_of(request, page)
    start, end = _range(request, yard.now())
    until = min(end, start + limit * DAY_SECONDS)
    used = await yard.pages.run(yard.records.used, project_of(request.scope), start, until)
    by_day: dict[int, list[Used]] = {day: [] for day in range(start, until, DAY_SECONDS)}
    for one in used:
        if wanted(one):
            by_day[one.day].append(one)
    return answer(
        {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": day,
                    "end_time": day + DAY_SECONDS,
                    "results": _grouped(found, *shape),
                }
                for day, found in by_day.items()
            ],
            "has_more": until < end,
            "next_page": f"page_{until}" if until < end else None,
        }
    )


def _range(request: Request, now: int) -> tuple[int, int]:
    """The first second of the first day, and the end; a page begins where the last one ended."""
    text = query_of(request, "start_time")
    if text is None:
        raise ApiError.missing("start_time")
    start = _seconds("start_time", text)
    end = _seconds("end_time", query_of(request, "end_time") or str(now + 1))
    if end <= start:
        raise ApiError(
            400,
            "Invalid 'end_time': it must be after 'start_time'.",
            code="invalid_value",
            param="end_time",
        )
    page = query_of(request, "page")
    if page is not None:
        found = _PAGE.fullmatch(page)
        if found is None:
            raise ApiError.invalid_value("page", page, ("the next_page of an answer",))
        start = max(start, int(found[1]))
    return start - start % DAY_SECONDS, end


def _seconds(name: str, text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise ApiError.invalid_type(name, "an integer", "a string")
    return int(text)


def _groups(request: Request, choices: tuple[str, ...]) -> list[str]:
    found = _all_of(request, "group_by")
    for name in found:
        if name not in choices:
            raise ApiError.invalid_value("group_by", name, choices)
    return found


def _all_of(request: Request, name: str) -> list[str]:
    """A list in any of the forms that clients write: `x=a&x=b`, `x[]=a`, `x=a,b`."""
    values = [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]
    return [word for value in values for word in value.split(",") if word]


def _grouped(
    found: Sequence[Used],
    groups: Sequence[str],
    keys: Keys,
    render: Render,
) -> list[dict[str, Any]]:
    named = [name for name in groups if name in keys]
    sets: dict[tuple[Any, ...], list[Used]] = {}
    for one in found:
        sets.setdefault(tuple(keys[name](one) for name in named), []).append(one)
    return [render(some, dict(zip(named, key, strict=True))) for key, some in sets.items()]


def _project(one: Used) -> str:
    return one.project_id


def _charged_for(one: Used) -> str:
    return f"{one.spent.model}, batch"


def _completions(some: Sequence[Used], group: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(_GROUPS)
    return nothing | {
        "object": "organization.usage.completions.result",
        "input_tokens": sum(one.spent.input_tokens for one in some),
        "output_tokens": sum(one.spent.output_tokens for one in some),
        "input_cached_tokens": sum(one.spent.cached_tokens for one in some),
        "num_model_requests": sum(one.completed for one in some),
        **group,
    }


def _embeddings(some: Sequence[Used], group: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "organization.usage.embeddings.result",
        "input_tokens": sum(one.spent.input_tokens for one in some),
        "num_model_requests": sum(one.completed for one in some),
        "project_id": None,
        "user_id": None,
        "api_key_id": None,
        "model": None,
        **{name: value for name, value in group.items() if name != "batch"},
    }


def _costs(some: Sequence[Used], group: dict[str, Any]) -> dict[str, Any]:
    paid = sum(one.spent.picodollars for one in some)
    return {
        "object": "organization.costs.result",
        "amount": {"value": paid / PICODOLLARS, "currency": "usd"},
        "line_item": None,
        "project_id": None,
        **group,
    }
