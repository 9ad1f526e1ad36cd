"""The application: which route leads to which resource."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchyard.server import batches, files, models
from batchyard.server.gate import Gate
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["build_app"]

Endpoint = Callable[[Request, Yard], Awaitable[Response]]

_ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/files", files.upload),
    ("GET", "/v1/files", files.list_),
    ("GET", "/v1/files/{id}", files.retrieve),
    ("DELETE", "/v1/files/{id}", files.delete),
    ("GET", "/v1/files/{id}/content", files.content),
    ("POST", "/v1/batches", batches.create),
    ("GET", "/v1/batches", batches.list_),
    ("GET", "/v1/batches/{id}", batches.retrieve),
    ("POST", "/v1/batches/{id}/cancel", batches.cancel),
    ("GET", "/v1/models", models.list_),
    ("GET", "/v1/models/{id:path}", models.retrieve),
)


def build_app(yard: Yard) -> Gate:
    """The ASGI application over a yard."""
    routes = [Route(path, _bind(call, yard), methods=[verb]) for verb, path, call in _ROUTES]
    inner = Starlette(routes=routes, exception_handlers={404: _no_route, 405: _no_method})
    inner.router.redirect_slashes = False
    return Gate(inner, yard)


def _bind(call: Endpoint, yard: Yard) -> Callable[[Request], Awaitable[Response]]:
    async def bound(request: Request) -> Response:
        return await call(request, yard)

    return bound


async def _no_route(request: Request, _error: Exception) -> Response:
    raise ApiError(404, f"Invalid URL ({request.method} {request.scope['path'][:200]})")


async def _no_method(request: Request, _error: Exception) -> Response:
    raise ApiError(
        405, f"Not allowed to {request.method} on {request.scope['path'][:200]}", code=None
    )
