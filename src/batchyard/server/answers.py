"""Turns an API object into an HTTP answer."""

from typing import Any

from starlette.responses import Response

from batchyard.wire.objects import to_json

__all__ = ["answer"]


def answer(value: Any) -> Response:
    """200 with the object as JSON."""
    return Response(to_json(value), media_type="application/json")
