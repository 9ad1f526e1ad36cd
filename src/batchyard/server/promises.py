"""Knows a request again that must not take effect twice, and answers it as it was answered."""

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.store.promises import Kept, Promise
from batchyard.server.gate import key_id_of, project_of
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["once"]

_NAME_CHARACTERS_MAX = 255
_NAMED_SECONDS = 24 * 3_600
# OpenAI's clients send a request again without a name for it, but tell that they do.
_ALIKE_SECONDS = 60


async def once(
    request: Request,
    yard: Yard,
    asked: dict[str, Any],
    make: Callable[[Promise | None], Awaitable[Response]],
) -> Response:
    """Answer a request, or answer it again as before where it is one that was answered.

    `asked` is all that makes the request what it is. `make` has what it makes and the promise
    written in one transaction.
    """
    promise, resent = _promise(request, yard, asked)
    if promise is None:
        return await make(None)
    place = (promise.project_id, promise.key)
    known = promise.named or resent
    if known and yard.running[place]:
        raise _STILL_RUNS
    yard.running[place] += 1
    try:
        if known:
            kept = await yard.store.run(yard.records.kept, *place, promise.created_at)
            if kept is not None:
                return _again(kept, promise)
        return await make(promise)
    finally:
        yard.running[place] -= 1
        if not yard.running[place]:
            del yard.running[place]


def _promise(request: Request, yard: Yard, asked: dict[str, Any]) -> tuple[Promise | None, bool]:
    """What this request can be known by, and whether a client says that it sends it again."""
    text = json.dumps([request.method, request.url.path, asked], sort_keys=True)
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    name = request.headers.get("idempotency-key", asked.get("idempotency_key"))
    retries = request.headers.get("x-stainless-retry-count", "")
    if name is not None:
        if not isinstance(name, str) or not 0 < len(name) <= _NAME_CHARACTERS_MAX:
            raise _BAD_NAME
        key, seconds = f"named {name}", _NAMED_SECONDS
    elif retries.isdecimal():
        key, seconds = f"alike {key_id_of(request.scope)} {digest}", _ALIKE_SECONDS
    else:
        return None, False
    now = yard.now()
    promise = Promise(
        project_id=project_of(request.scope),
        key=key,
        request_sha256=digest,
        created_at=now,
        expires_at=now + seconds,
        named=name is not None,
    )
    return promise, retries.strip("0") != ""


def _again(kept: Kept, promise: Promise) -> Response:
    if kept.request_sha256 != promise.request_sha256:
        raise _OTHER_PARAMETERS
    return Response(
        kept.answer,
        status_code=kept.status,
        headers={"idempotent-replayed": "true"},
        media_type="application/json",
    )


_STILL_RUNS = ApiError(
    409,
    "The same request is still being processed; ask again in a moment.",
    code="idempotency_key_in_use",
    headers={"x-should-retry": "true", "retry-after-ms": "250", "retry-after": "1"},
)
_OTHER_PARAMETERS = ApiError(
    400,
    "This Idempotency-Key was used before with other parameters. Use another key for another "
    "request.",
    code="idempotency_key_reused",
    param="Idempotency-Key",
)
_BAD_NAME = ApiError(
    400,
    f"An Idempotency-Key must be a string of 1 to {_NAME_CHARACTERS_MAX} characters.",
    code="invalid_value",
    param="Idempotency-Key",
)
