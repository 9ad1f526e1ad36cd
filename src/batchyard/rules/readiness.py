"""Whether a server can do any work now, and what each of the things it needs says."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["Check", "Readiness", "readiness"]


class Check(Struct, frozen=True, omit_defaults=True):
    """One thing that a server needs; `reason` says what is wrong with it."""

    status: Literal["ok", "failing"]
    reason: str | None = None


class Readiness(Struct, frozen=True, omit_defaults=True):
    """What `/readyz` answers; `ready` is 503's opposite."""

    status: Literal["ok", "not_ready"]
    storage: Check
    disk: Check
    workers: Check
    upstreams: dict[str, Check]

    @property
    def ready(self) -> bool:
        """Whether requests can be stored and lines be sent somewhere."""
        return self.status == "ok"


def readiness(
    *,
    storage_fault: str | None,
    disk_fault: str | None,
    workers: int,
    upstreams: Sequence[tuple[str, str | None]],
) -> Readiness:
    """Judge what was found; of each upstream its name and what is wrong with it.

    One upstream that serves is enough, for lines of the others wait; without any nothing can run.
    """
    checks = {name: _check(fault) for name, fault in upstreams}
    working = (
        storage_fault is None
        and disk_fault is None
        and workers > 0
        and any(check.status == "ok" for check in checks.values())
    )
    return Readiness(
        status="ok" if working else "not_ready",
        storage=_check(storage_fault),
        disk=_check(disk_fault),
        workers=_check(None if workers else "no worker runs; the server starts one"),
        upstreams=checks,
    )


def _check(fault: str | None) -> Check:
    return Check("ok") if fault is None else Check("failing", fault)
