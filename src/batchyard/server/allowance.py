"""What a project may have beside its enqueued tokens: batches in an hour, bytes that are stored."""

from starlette.requests import Request

from batchyard.server.gate import limits_of, project_of
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["check_batches", "check_stored"]

_HOUR_SECONDS = 3_600


async def check_batches(request: Request, yard: Yard) -> None:
    """Refuse a batch where as many as are allowed were created within the hour."""
    most, now = limits_of(request.scope).batches_per_hour_max, yard.now()
    earliest = await yard.store.run(yard.records.last_but, project_of(request.scope), most - 1)
    if earliest is None or earliest + _HOUR_SECONDS <= now:
        return
    wait = earliest + _HOUR_SECONDS - now
    raise ApiError(
        429,
        f"Rate limit reached for batches: {most:,} were created within the last hour. Please try "
        f"again in {wait:,} s.",
        type="requests",
        code="rate_limit_exceeded",
        headers={"retry-after": str(wait), "x-should-retry": "false"},
    )


async def check_stored(request: Request, yard: Yard, new_bytes: int) -> None:
    """Refuse so many bytes more where they are over what the project may store."""
    most = limits_of(request.scope).stored_bytes_max
    stored = await yard.store.run(yard.records.stored_bytes, project_of(request.scope), yard.now())
    if stored + new_bytes <= most and stored < most:
        return
    raise ApiError(
        400,
        f"This project stores {stored:,} bytes of the {most:,} that it may. Delete files that you "
        "no longer need.",
        code="storage_limit_exceeded",
        param="file",
    )
