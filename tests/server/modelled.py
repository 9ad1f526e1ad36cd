"""The model that the API is held against: what its objects must be, in a few plain values."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

__all__ = ["ENDED", "KnownBatch", "KnownFile", "KnownUpload", "check_page", "check_transition"]

ENDED = ("completed", "failed", "expired", "cancelled")
# The statuses that each may be followed by; those of a step that nobody saw are in it too.
_NEXT = {
    "validating": ("in_progress", "failed", "cancelling"),
    "in_progress": ("finalizing", "cancelling", "completed", "expired"),
    "finalizing": ("completed", "expired"),
    "cancelling": ("cancelled",),
}
_IN_ORDER = (
    ("created_at", "in_progress_at", "finalizing_at", "completed_at"),
    ("created_at", "in_progress_at", "finalizing_at", "expired_at"),
    ("created_at", "in_progress_at", "cancelling_at", "cancelled_at"),
    ("created_at", "failed_at"),
)


@dataclass(eq=False)
class KnownFile:
    """A file; `gone_at` is when it was deleted. `batch` is that whose results it has."""

    id: str
    owner: int
    content: bytes | None
    purpose: str
    created_at: int
    expires_at: int | None
    lines: int | None = None
    gone_at: int | None = None

    def lives(self, now: int) -> bool:
        """Whether its owner still has it."""
        return self.gone_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def shown(self) -> dict[str, Any]:
        """What the API must show of it."""
        fields: dict[str, Any] = {
            "id": self.id,
            "object": "file",
            "purpose": self.purpose,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": "processed",
        }
        return fields if self.content is None else fields | {"bytes": len(self.content)}


@dataclass(eq=False)
class KnownBatch:
    """A batch; `stamps` are the moments it must show, all others must be null."""

    id: str
    owner: int
    input: KnownFile
    asked: dict[str, Any]
    stamps: dict[str, int]
    status: str = "validating"
    total: int = 0
    answered: dict[int, bool] = field(default_factory=dict)
    paused: bool = False
    output: KnownFile | None = None
    errors: KnownFile | None = None

    def move(self, now: int, *statuses: str) -> None:
        """Go on to these statuses, one after the other, all now."""
        for status in statuses:
            self.status = status
            self.stamps[f"{status}_at"] = now

    def due(self, now: int) -> bool:
        """Whether there is a step to take."""
        done = len(self.answered) == self.total or self.stamps["expires_at"] <= now
        return self.status not in ENDED and (self.status != "in_progress" or done)

    def runs(self, now: int) -> bool:
        """Whether it gives lines out."""
        return self.status == "in_progress" and not self.paused and self.stamps["expires_at"] > now

    @property
    def shown(self) -> dict[str, Any]:
        """What the API must show of it."""
        counts = list(self.answered.values())
        moments = {name for order in _IN_ORDER for name in order}
        return {
            "id": self.id,
            "object": "batch",
            "status": self.status,
            "endpoint": self.asked["endpoint"],
            "input_file_id": self.input.id,
            "completion_window": self.asked["completion_window"],
            "metadata": self.asked["metadata"],
            "expires_at": self.stamps["expires_at"],
            "request_counts": {
                "total": self.total,
                "completed": sum(counts),
                "failed": len(counts) - sum(counts),
            },
            "output_file_id": self.output and self.output.id,
            "error_file_id": self.errors and self.errors.id,
            **{name: self.stamps.get(name) for name in moments},
        }


@dataclass(eq=False)
class KnownUpload:
    """An upload of `content`, and the parts of it that are there, by id."""

    id: str
    owner: int
    content: bytes
    expires_at: int
    ended: Literal["completed", "cancelled"] | None = None
    parts: dict[str, bytes] = field(default_factory=dict)
    forgotten: bool = False

    def status(self, now: int) -> str:
        """What it must be said to be."""
        return self.ended or ("expired" if self.expires_at <= now else "pending")


def check_transition(before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    """A batch goes on as is listed, keeps the moments it has, and they follow each other."""
    if before is not None:
        old, new = before["status"], after["status"]
        assert new == old or new in _NEXT.get(old, ()), f"{old} became {new}"
        for name, moment in before.items():
            assert not name.endswith("_at") or moment in (None, after[name]), f"{name} changed"
    for order in _IN_ORDER:
        moments = [after[name] for name in order if after[name] is not None]
        assert all(one <= other for one, other in pairwise(moments)), moments


def check_page(page: dict[str, Any], expected: list[str], limit: int) -> None:
    """A page shows the first of what is expected, and says truly whether there is more."""
    ids = [one["id"] for one in page["data"]]
    assert ids == expected[:limit]
    assert page["object"] == "list"
    assert page["has_more"] == (len(expected) > limit)
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
