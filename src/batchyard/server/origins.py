"""Pages of other origins that may use the API from a browser (CORS), as the settings allow.

A browser asks before it sends a key, so it is answered before a key is asked for. No cookie counts
here, so none is ever allowed: a page must have the key itself.
"""

import re
from collections.abc import Collection, Mapping

from batchyard.wire.errors import ApiError

__all__ = ["Origins"]

_METHODS = "GET, HEAD, POST, DELETE"
# What a page may read of an answer beside its body.
_EXPOSED = ", ".join(
    (
        "content-disposition",
        "content-range",
        "etag",
        "idempotent-replayed",
        "openai-organization",
        "openai-processing-ms",
        "retry-after",
        "retry-after-ms",
        "x-incomplete",
        "x-last-line",
        "x-next-after",
        "x-next-offset",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-request-id",
        "x-should-retry",
    )
)
_NAMES = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[0-9A-Za-z!#$%&'*+.^_`|~-]+)*")
_NAMES_CHARACTERS_MAX = 2_000
_ALLOWED_SECONDS = 600


class Origins:
    """The origins that are allowed, "*" for all of them."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {origin.lower() for origin in allowed}

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What an answer to a page of this origin has, whatever the answer is."""
        if not self._allowed:
            return {}
        if "*" in self._allowed:
            return {"access-control-allow-origin": "*", "access-control-expose-headers": _EXPOSED}
        # The answer to one origin is not the one to another.
        vary = {"vary": "Origin"}
        if origin is None or origin.lower() not in self._allowed:
            return vary
        return vary | {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED,
        }

    def preflight(self, origin: str, asked: Mapping[str, str]) -> Mapping[str, str]:
        """What a browser may send that asks beforehand, by its headers; raises ApiError."""
        if "*" not in self._allowed and origin.lower() not in self._allowed:
            raise ApiError(
                403,
                f"Pages of {_shown(origin)} may not use this server from a browser. Whoever runs "
                "it can allow that: cors_origins in batchyard.toml.",
            )
        names = asked.get("access-control-request-headers", "").strip()
        granted = {
            "access-control-allow-methods": _METHODS,
            "access-control-max-age": str(_ALLOWED_SECONDS),
        }
        if len(names) <= _NAMES_CHARACTERS_MAX and _NAMES.fullmatch(names):
            # "*" would not stand for Authorization.
            granted["access-control-allow-headers"] = names
        if asked.get("access-control-request-private-network") == "true":
            granted["access-control-allow-private-network"] = "true"
        return granted


def _shown(origin: str) -> str:
    return "".join(one for one in origin[:200] if one.isprintable())
