"""Whether a server can do any work now, and what each of the things it needs says."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["Readiness", "Trouble", "UpstreamState", "readiness"]


class Trouble(Struct, frozen=True, omit_defaults=True):
    """Something that cannot be used: `code` for programs, `since` in Unix seconds."""

    code: str
    message: str
    since: int | None = None


class UpstreamState(Struct, frozen=True, omit_defaults=True):
    """How an upstream answered when it was last asked what it serves; `detail` says why not."""

    state: str
    detail: str = ""


class Readiness(Struct, frozen=True):
    """What `/readyz` answers; anything but `ok` comes with status 503."""

    status: Literal["ok", "unavailable"]
    reasons: tuple[Trouble, ...]
    workers: int
    upstreams: Mapping[str, UpstreamState]


def readiness(
    troubles: Sequence[Trouble], workers: int, upstreams: Mapping[str, UpstreamState]
) -> Readiness:
    """Judge what was found of the storage, the workers that run, and the upstreams by name.

    One upstream that serves is enough, for lines of the others wait; without any nothing can run.
    """
    reasons = list(troubles)
    if not workers:
        reasons.append(Trouble("no_worker", "No worker runs; the server starts one."))
    if not any(upstream.state == "ok" for upstream in upstreams.values()):
        why = "; ".join(
            f"{name}: {upstream.state}" + (f" ({upstream.detail})" if upstream.detail else "")
            for name, upstream in upstreams.items()
        )
        reasons.append(Trouble("no_upstream", f"No upstream serves. {why}"))
    return Readiness("unavailable" if reasons else "ok", tuple(reasons), workers, upstreams)
