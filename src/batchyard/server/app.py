"""The application: which route leads to which resource."""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchyard.server import batches, files, models
from batchyard.server.gate import Gate
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["build_app"]

Endpoint = Callable[[Request, Yard], Awaitable[Response]]

_ROUTES: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/files": {"GET": files.list_, "POST": files.upload},
    "/v1/files/{id}": {"GET": files.retrieve, "DELETE": files.delete},
    "/v1/files/{id}/content": {"GET": files.content},
    "/v1/batches": {"GET": batches.list_, "POST": batches.create},
    "/v1/batches/{id}": {"GET": batches.retrieve},
    "/v1/batches/{id}/cancel": {"POST": batches.cancel},
    "/v1/models": {"GET": models.list_},
    "/v1/models/{id}": {"GET": models.retrieve},
}


def build_app(yard: Yard) -> Gate:
    """The ASGI application over a yard."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        route, id = _split(scope["raw_path"].decode("ascii"))
        verbs = _ROUTES.get(route)
        if verbs is None:
            raise ApiError(404, f"Invalid URL ({scope['method']} {scope['path'][:200]})")
        # uvicorn keeps the body of an answer to HEAD to itself.
        endpoint = verbs.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if endpoint is None:
            raise ApiError(
                405,
                f"Not allowed to {scope['method']} on {scope['path'][:200]}",
                code="method_not_supported",
                headers={"allow": ", ".join(verbs)},
            )
        scope["path_params"] = {"id": id}
        response = await endpoint(Request(scope, receive), yard)
        await response(scope, receive, send)

    return Gate(routed, yard)


def _split(raw_path: str) -> tuple[str, str]:
    """The route of a path and the id in it.

    It is split before it is unquoted: nothing in an id can make it another route.
    """
    segments = raw_path.split("/")
    if segments[:3] == ["", "v1", "models"]:
        # Names of models have slashes, and not every client quotes them.
        segments[3:] = ["/".join(segments[3:])] if segments[3:] else []
    if len(segments) < 4 or not segments[3]:
        return raw_path, ""
    return "/".join([*segments[:3], "{id}", *segments[4:]]), unquote(segments[3])
