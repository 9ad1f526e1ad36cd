"""Models: what the upstreams serve."""

from starlette.requests import Request
from starlette.responses import Response

from batchyard.server.answers import answer
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["list_", "retrieve"]


async def list_(_request: Request, yard: Yard) -> Response:
    """List all models; `any_model` where there may be more than these."""
    listed = await yard.models()
    rest = {"any_model": True} if listed.any_model else {}
    return answer({"object": "list", "data": list(listed.models), **rest})


async def retrieve(request: Request, yard: Yard) -> Response:
    """Show one model."""
    id = request.path_params["id"]
    for model in (await yard.models()).models:
        if model.id == id:
            return answer(model)
    raise ApiError(
        404, f"The model '{id[:200]}' does not exist", code="model_not_found", param="model"
    )
