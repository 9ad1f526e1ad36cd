"""The application: which route leads to which resource, and which scope of a key it needs."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchyard.server import (
    batches,
    files,
    models,
    pausing,
    quota,
    results,
    retrying,
    uploads,
    usage,
    webhooks,
)
from batchyard.server.gate import Gate, demand
from batchyard.server.pages import Pages
from batchyard.server.scopes import ScopeName
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["ROUTES", "Route", "build_app"]

Endpoint = Callable[[Request, Yard], Awaitable[Response]]


class Route(NamedTuple):
    """What answers, and the scope that a key must have for it."""

    scope: ScopeName
    endpoint: Endpoint


ROUTES: Mapping[str, Mapping[str, Route]] = {
    "/v1/files": {
        "GET": Route("api.files.read", files.list_),
        "POST": Route("api.files.write", files.upload),
    },
    "/v1/files/{id}": {
        "GET": Route("api.files.read", files.retrieve),
        "DELETE": Route("api.files.write", files.delete),
    },
    "/v1/files/{id}/content": {"GET": Route("api.files.read", files.content)},
    "/v1/uploads": {"POST": Route("api.files.write", uploads.create)},
    "/v1/uploads/{id}/parts": {"POST": Route("api.files.write", uploads.add_part)},
    "/v1/uploads/{id}/complete": {"POST": Route("api.files.write", uploads.complete)},
    "/v1/uploads/{id}/cancel": {"POST": Route("api.files.write", uploads.cancel)},
    "/v1/batches": {
        "GET": Route("api.batches.read", batches.list_),
        "POST": Route("api.batches.write", batches.create),
    },
    "/v1/batches/{id}": {"GET": Route("api.batches.read", batches.retrieve)},
    "/v1/batches/{id}/cancel": {"POST": Route("api.batches.write", batches.cancel)},
    "/v1/batches/{id}/retry": {"POST": Route("api.batches.write", retrying.retry)},
    "/v1/batches/{id}/results": {"GET": Route("api.files.read", results.merged)},
    "/v1/batches/{id}/output": {"GET": Route("api.files.read", results.output)},
    "/v1/batches/{id}/errors": {"GET": Route("api.files.read", results.errors)},
    "/v1/batches/{id}/pause": {"POST": Route("api.batches.write", pausing.pause)},
    "/v1/batches/{id}/resume": {"POST": Route("api.batches.write", pausing.resume)},
    "/v1/batchyard/quota": {"GET": Route("api.batches.read", quota.headroom)},
    **{
        f"/v1/organization/usage/{one.__name__}": {"GET": Route("api.usage.read", one)}
        for one in (
            usage.audio_speeches,
            usage.audio_transcriptions,
            usage.code_interpreter_sessions,
            usage.completions,
            usage.decisions,
            usage.embeddings,
            usage.file_search_calls,
            usage.images,
            usage.moderations,
            usage.vector_stores,
            usage.web_search_calls,
        )
    },
    "/v1/organization/costs": {"GET": Route("api.usage.read", usage.costs)},
    "/v1/organization/projects/{id}/rate_limits": {
        "GET": Route("api.limits.read", quota.list_rate_limits)
    },
    "/v1/organization/projects/{id}/rate_limits/{rate_limit_id}": {
        "POST": Route("api.limits.write", quota.set_rate_limit)
    },
    "/v1/models": {"GET": Route("api.model.read", models.list_)},
    "/v1/models/{id}": {"GET": Route("api.model.read", models.retrieve)},
    "/v1/webhook_endpoints": {
        "GET": Route("api.webhooks.read", webhooks.list_),
        "POST": Route("api.webhooks.write", webhooks.create),
    },
    "/v1/webhook_endpoints/{id}": {
        "GET": Route("api.webhooks.read", webhooks.retrieve),
        "POST": Route("api.webhooks.write", webhooks.update),
        "DELETE": Route("api.webhooks.write", webhooks.delete),
    },
    "/v1/webhook_endpoints/{id}/rotate_secret": {
        "POST": Route("api.webhooks.write", webhooks.rotate_secret)
    },
    "/v1/webhook_endpoints/{id}/test": {"POST": Route("api.webhooks.write", webhooks.test)},
    "/v1/webhook_event_types": {"GET": Route("api.webhooks.read", webhooks.event_types)},
}


# Where there is more to say than that it cannot be done.
_WHY_NOT = {
    ("DELETE", "/v1/models/{id}"): ": models are not deleted here, they are what the upstreams "
    "serve. Take the model away there, and it is gone from this list."
}


def build_app(yard: Yard) -> Gate:
    """The ASGI application over a yard."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        route, ids = _split(scope["raw_path"].decode("ascii"))
        verbs = ROUTES.get(route)
        if verbs is None:
            raise ApiError(404, f"Invalid URL ({scope['method']} {scope['path'][:200]})")
        # uvicorn keeps the body of an answer to HEAD to itself.
        found = verbs.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if found is None:
            raise ApiError(
                405,
                f"Not allowed to {scope['method']} on {scope['path'][:200]}"
                + _WHY_NOT.get((scope["method"], route), ""),
                code="method_not_supported",
                headers={"allow": ", ".join(verbs)},
            )
        demand(scope, found.scope)
        scope["path_params"] = ids
        response = await found.endpoint(Request(scope, receive), yard)
        await response(scope, receive, send)

    # The pages say nothing of this server or of what is on it.
    return Gate(routed, yard, Pages(ROUTES))


def _split(raw_path: str) -> tuple[str, dict[str, str]]:
    """The route of a path and the ids in it.

    It is split before it is unquoted: nothing in an id can make it another route.
    """
    segments = raw_path.split("/")
    # Names of models have slashes, and not every client quotes them.
    if segments[:3] == ["", "v1", "models"]:
        segments[3:] = ["/".join(segments[3:])] if segments[3:] else []
    elif segments[5:6] == ["rate_limits"] and segments[6:]:
        segments[6:] = ["/".join(segments[6:])]
    names = {3: "id"}
    if segments[:4] == ["", "v1", "organization", "projects"]:
        names = {4: "id", 6: "rate_limit_id"}
    elif segments[2:3] in (["batchyard"], ["organization"]):
        names = {}
    ids: dict[str, str] = {}
    for position, name in names.items():
        if len(segments) > position and segments[position]:
            ids[name] = unquote(segments[position])
            segments[position] = f"{{{name}}}"
    return "/".join(segments), ids
