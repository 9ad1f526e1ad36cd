"""Usage and costs of a project by time, in the shapes of OpenAI's organization API."""

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

__all__ = [
    "audio_speeches",
    "audio_transcriptions",
    "code_interpreter_sessions",
    "completions",
    "costs",
    "decisions",
    "embeddings",
    "file_search_calls",
    "images",
    "moderations",
    "vector_stores",
    "web_search_calls",
]

# By the width of a bucket: its seconds, and (least, most, default) of `limit`, buckets on a page.
_WIDTHS = {"1d": (DAY_SECONDS, (1, 31, 7)), "1h": (3_600, (1, 168, 24)), "1m": (60, (1, 1_440, 60))}
_COSTS_WIDTHS = {"1d": (DAY_SECONDS, (1, 180, 7))}
_TEXT_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
_POOLING_ENDPOINTS = ("/v1/embeddings", "/v1/score", "/v1/rerank", "/v1/pooling", "/v1/classify")
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
    """Tokens of embeddings, and of what else pooling models answer (scores, ranks, classes)."""
    return await _usage(request, yard, _POOLING_ENDPOINTS, _rendering("embeddings", _tokens))


async def moderations(request: Request, yard: Yard) -> Response:
    """Tokens of moderations."""
    return await _usage(request, yard, ("/v1/moderations",), _rendering("moderations", _tokens))


async def images(request: Request, yard: Yard) -> Response:
    """Requests for images; each that was answered counts as one image."""
    endpoints = ("/v1/images/generations", "/v1/images/edits")
    return await _usage(request, yard, endpoints, _rendering("images", _images))


async def audio_transcriptions(request: Request, yard: Yard) -> Response:
    """Requests for transcriptions and translations; how long the audio was is not known."""
    endpoints = ("/v1/audio/transcriptions", "/v1/audio/translations")
    return await _usage(request, yard, endpoints, _rendering("audio_transcriptions", _seconds_of))


async def audio_speeches(request: Request, yard: Yard) -> Response:
    """Speeches: there are none in a batch."""
    return await _nothing(request, yard)


async def code_interpreter_sessions(request: Request, yard: Yard) -> Response:
    """Sessions of the code interpreter: this server has none."""
    return await _nothing(request, yard)


async def decisions(request: Request, yard: Yard) -> Response:
    """Decisions: this server makes none."""
    return await _nothing(request, yard)


async def file_search_calls(request: Request, yard: Yard) -> Response:
    """Calls of file search: this server has none."""
    return await _nothing(request, yard)


async def vector_stores(request: Request, yard: Yard) -> Response:
    """Vector stores: this server has none."""
    return await _nothing(request, yard)


async def web_search_calls(request: Request, yard: Yard) -> Response:
    """Calls of web search: this server has none."""
    return await _nothing(request, yard)


async def costs(request: Request, yard: Yard) -> Response:
    """What it costs, by the prices in force when each batch was validated."""
    groups = _groups(request, _COST_GROUPS)
    keys: Keys = {"project_id": _project, "line_item": _charged_for}
    return await _page(request, yard, _COSTS_WIDTHS, lambda _one: True, (groups, keys, _costs))


async def _nothing(request: Request, yard: Yard) -> Response:
    """Buckets with nothing in them, so that whoever asks for all kinds of usage gets an answer."""
    shape: tuple[list[str], Keys, Render] = ([], {}, _costs)
    return await _page(request, yard, _WIDTHS, lambda _one: False, shape)


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

    return await _page(request, yard, _WIDTHS, wanted, (groups, keys, render))


async def _page(
    request: Request,
    yard: Yard,
    widths: Mapping[str, tuple[int, tuple[int, int, int]]],
    wanted: Callable[[Used], bool],
    shape: tuple[Sequence[str], Keys, Render],
) -> Response:
    width, page = widths[one_of(request, "bucket_width", tuple(widths))]
    limit = limit_of(request, page)
    start, end = _range(request, yard.now(), width)
    until = min(end, start + limit * width)
    used = await yard.pages.run(yard.records.used, project_of(request.scope), start, until)
    by_time: dict[int, list[Used]] = {begin: [] for begin in range(start, until, width)}
    for one in used:
        begin = one.minute - one.minute % width
        if begin in by_time and wanted(one):
            by_time[begin].append(one)
    return answer(
        {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": begin,
                    "end_time": begin + width,
                    "results": _grouped(found, *shape),
                }
                for begin, found in by_time.items()
            ],
            "has_more": until < end,
            "next_page": f"page_{until}" if until < end else None,
        }
    )


def _range(request: Request, now: int, width: int) -> tuple[int, int]:
    """The first second of the first bucket, and the end; a page begins where the last one ended."""
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
    return start - start % width, end


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


def _rendering(kind: str, counted: Callable[[Sequence[Used]], dict[str, int]]) -> Render:
    """How usage of a kind is shown that has few fields beside those it is grouped by."""

    def render(some: Sequence[Used], group: dict[str, Any]) -> dict[str, Any]:
        return {
            "object": f"organization.usage.{kind}.result",
            **counted(some),
            "num_model_requests": sum(one.completed for one in some),
            "project_id": None,
            "user_id": None,
            "api_key_id": None,
            "model": None,
            **{name: value for name, value in group.items() if name != "batch"},
        }

    return render


def _tokens(some: Sequence[Used]) -> dict[str, int]:
    return {"input_tokens": sum(one.spent.input_tokens for one in some)}


def _images(some: Sequence[Used]) -> dict[str, int]:
    return {"images": sum(one.completed for one in some)}


def _seconds_of(_some: Sequence[Used]) -> dict[str, int]:
    return {"seconds": 0}


def _costs(some: Sequence[Used], group: dict[str, Any]) -> dict[str, Any]:
    paid = sum(one.spent.picodollars for one in some)
    return {
        "object": "organization.costs.result",
        "amount": {"value": paid / PICODOLLARS, "currency": "usd"},
        "line_item": None,
        "project_id": None,
        **group,
    }
