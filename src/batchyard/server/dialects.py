"""The dialects of the API as data: OpenAI's own, and Azure's."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from starlette.types import Scope

from batchyard.rules.endpoints import ENDPOINTS, EVERYWHERE

__all__ = ["AZURE", "OPENAI", "Dialect", "heard"]


class Dialect(Struct, frozen=True, kw_only=True):
    """How clients of one kind speak.

    `key_field` is a header that may hold the key instead of `Authorization`; `error_codes` name
    errors by status, where the settings ask for it.
    """

    name: str
    key_field: bytes | None = None
    endpoints: tuple[str, ...] = EVERYWHERE
    error_codes: Mapping[int, str] = {}

    def endpoint(self, given: str) -> str | None:
        """The endpoint of a batch as it is kept; None for one that there is not.

        Where it may be named without the version, it is kept so: its lines may differ in that.
        """
        if given not in self.endpoints:
            return None
        path = ENDPOINTS[given].path
        return path if path in self.endpoints else given


OPENAI = Dialect(name="openai")
# Its data plane's `ErrorCode`s.
AZURE = Dialect(
    name="azure",
    key_field=b"api-key",
    endpoints=tuple(ENDPOINTS),
    error_codes={
        400: "invalidPayload",
        401: "unauthorized",
        403: "forbidden",
        404: "notFound",
        409: "conflict",
        413: "invalidPayload",
        415: "invalidPayload",
        429: "tooManyRequests",
        500: "internalFailure",
        503: "serviceUnavailable",
        507: "serviceUnavailable",
    },
)


def heard(scope: Scope) -> tuple[Dialect, Scope]:
    """The dialect of a request, and the request as if it were OpenAI's.

    Azure's paths are `/openai/v1/...`, and `/openai/...?api-version=...` before that.
    """
    raw_path: bytes = scope["raw_path"]
    if raw_path.startswith(b"/openai/v1/"):
        return AZURE, _moved(scope, "")
    if raw_path.startswith(b"/openai/") and b"api-version=" in scope["query_string"]:
        return AZURE, _moved(scope, "/v1")
    return OPENAI, scope


def _moved(scope: Scope, prefix: str) -> Scope:
    rest = len("/openai")
    moved: dict[str, Any] = {
        **scope,
        "path": prefix + scope["path"][rest:],
        "raw_path": prefix.encode() + scope["raw_path"][rest:],
    }
    return moved
