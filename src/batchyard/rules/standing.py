"""Why a batch does not move, and when it will be done: facts become one line."""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from batchyard.wire.objects import Reason

__all__ = [
    "EVERY_MODEL",
    "Facts",
    "LaneStanding",
    "Outlook",
    "Pace",
    "Wait",
    "outlook",
    "paced",
    "reason",
]

# An estimate is worth showing after so long, and so many lines or so large a share of them.
_ETA_SECONDS_MIN, _ETA_LINES_MIN, _ETA_SHARE_MIN = 15.0, 20, 0.01
# The share of a window that should be left at the end.
_MARGIN_SHARE = 0.1
# A pace forgets what is older, and is looked at no oftener.
_PACE_SECONDS, _PACE_SECONDS_MIN = 30.0, 2.0
_NAMED_MAX = 3
# Without an answer for so long, an upstream is called slow.
_SLOW_SECONDS = 60
# What is wrong with an upstream, or with several, by the code that its lane gives for it.
_TROUBLES = {
    "upstream_down": ("is down", "are down"),
    "upstream_throttling": ("asks for a pause", "ask for a pause"),
    "upstream_refuses": (
        "refuses the key, or what it may do",
        "refuse the key, or what it may do",
    ),
    "upstream_out_of_credit": (
        "says that the credit is used up",
        "say that the credit is used up",
    ),
    "upstream_lacks_model": ("does not serve the model", "do not serve the model"),
    "upstream_misplaced": (
        "is not a model server at this URL, or not at this path",
        "are not model servers at these URLs, or not at these paths",
    ),
    "lane_failed": (
        "is paused after an error of Batchyard's own, which is in the log",
        "are paused after an error of Batchyard's own, which is in the log",
    ),
}
# In the place of a model: what is said holds for all of a worker's lanes.
EVERY_MODEL = ""


class LaneStanding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one worker's lane to one upstream stands; times are Unix seconds.

    `width` is how many lines it lets in flight, and `width_why` why no more; `waiting` is how many
    wait to be tried again.
    """

    width: int
    width_why: str = ""
    in_flight: int
    waiting: int = 0
    retry_at: int | None = None
    trouble: str | None = None
    trouble_since: int | None = None
    probe_at: int | None = None
    # Only where the model is EVERY_MODEL: since when nothing is sent as results are not recorded,
    # and why, as a code, a colon and a sentence.
    unrecorded_since: int | None = None
    unrecorded_why: str = "disk_low: results cannot be written"


class Wait(Struct, frozen=True):
    """A model whose tokens a batch waits for, and the batches that hold them."""

    model: str
    limit: int
    used: int
    tokens: int
    holders: tuple[str, ...]


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of a batch that has not ended.

    `lanes` are those of its models, by upstream; `above` counts the batches of higher priority
    that have lines waiting for the same models while nothing of this one is under way. `moved_at`
    is when its last result was recorded.
    """

    status: str
    in_progress_at: int | None = None
    admitted_at: int | None = None
    paused_at: int | None = None
    paused_by: str | None = None
    waits: tuple[Wait, ...] = ()
    workers: int = 1
    lanes: tuple[tuple[str, LaneStanding], ...] = ()
    above: int = 0
    moved_at: int | None = None


class Outlook(Struct, frozen=True):
    """When a batch will be done, and what that means for its deadline."""

    eta_at: int | None = None
    verdict: Literal["on_track", "at_risk", "will_miss"] | None = None


class Pace(Struct, frozen=True):
    """How fast results came when last looked at; `since` is when the batch began to run."""

    at: float
    done: int
    per_second: float
    since: float


def reason(facts: Facts, now: int) -> Reason | None:
    """Why nothing of a batch moves, the nearest cause first; None when nothing is known to."""
    if facts.status not in ("validating", "in_progress"):
        return None
    if facts.paused_at is not None:
        by = facts.paused_by or "user"
        return Reason("paused_by", f"paused by {by}; resume it to go on", facts.paused_at)
    if facts.waits and facts.admitted_at is None:
        return _waiting_quota(facts)
    if not facts.workers:
        return Reason("no_worker", "no worker runs; the server starts them anew")
    if facts.status == "validating":
        return None
    stalled = [one for _, one in facts.lanes if one.unrecorded_since is not None]
    if stalled:
        first = min(stalled, key=lambda one: one.unrecorded_since or 0)
        code, _, message = first.unrecorded_why.partition(": ")
        return Reason(code, message, first.unrecorded_since)
    return _lanes(facts.lanes, now) or _slow(facts, now) or _above(facts.above)


def _waiting_quota(facts: Facts) -> Reason:
    wait = facts.waits[0]
    figures = f"{wait.used:,} of {wait.limit:,} enqueued tokens of {wait.model} are held"
    if wait.tokens > wait.limit:
        message = f"it alone needs {wait.tokens:,} of {wait.limit:,} tokens: raise the quota"
    elif wait.used + wait.tokens > wait.limit:
        message = f"{figures}{_by(wait.holders)}; this batch needs {wait.tokens:,}"
    else:
        message = f"{figures}; an older batch waits for them too"
    return Reason("waiting_quota", message, facts.in_progress_at)


def _by(holders: Sequence[str]) -> str:
    if not holders:
        return ""
    more = f" and {len(holders) - _NAMED_MAX} more" if len(holders) > _NAMED_MAX else ""
    return f" by {', '.join(holders[:_NAMED_MAX])}{more}"


def _lanes(lanes: Sequence[tuple[str, LaneStanding]], now: int) -> Reason | None:
    """What troubles the lanes, where no lane of them has a line at an upstream."""
    if not lanes or any(one.in_flight and not one.trouble for _, one in lanes):
        return None
    for upstream, one in lanes:
        if one.trouble is None:
            continue
        code, _, detail = one.trouble.partition(": ")
        soon = _in(one.probe_at, now)
        # What no upstream serves has no lane: it is told of all of them at once.
        are_several = ", " in upstream
        words = _TROUBLES.get(code, _TROUBLES["upstream_down"])[are_several]
        again = "they are probed again" if are_several else "it is probed again"
        if code == "upstream_throttling":
            again = "lines are sent again"
        return Reason(code, f"{upstream} {words} ({detail}); {again}{soon}", one.trouble_since)
    waiting = sum(one.waiting for _, one in lanes)
    if not waiting or any(one.in_flight for _, one in lanes):
        return None
    moments = [one.retry_at for _, one in lanes if one.retry_at is not None]
    soon = _in(min(moments), now) if moments else ""
    return Reason("retry_backoff", f"{waiting:,} lines failed for now; they are tried again{soon}")


def _slow(facts: Facts, now: int) -> Reason | None:
    """Requests are at an upstream, and nothing has come back of this batch for a while."""
    since = max(facts.moved_at or 0, facts.admitted_at or 0)
    busy = [(upstream, lane.in_flight) for upstream, lane in facts.lanes if lane.in_flight]
    if not busy or facts.above or now - since < _SLOW_SECONDS:
        return None
    names = ", ".join(dict.fromkeys(upstream for upstream, _ in busy))
    requests = sum(in_flight for _, in_flight in busy)
    message = f"no answer has come for {now - since} s; {requests:,} in flight at {names}"
    return Reason("upstream_slow", message, since)


def _in(moment: int | None, now: int) -> str:
    return "" if moment is None else f" in {max(0, moment - now)} s"


def _above(above: int) -> Reason | None:
    if not above:
        return None
    batches = "batch" if above == 1 else "batches"
    return Reason("behind_higher_priority", f"behind {above:,} {batches} of higher priority")


def paced(before: Pace | None, now: float, done: int, since: float) -> Pace:
    """The pace with what has come since it was last looked at; what is long ago counts less."""
    if before is None or before.since != since or done < before.done:
        return Pace(now, done, done / max(1.0, now - since), since)
    passed = now - before.at
    if passed < _PACE_SECONDS_MIN:
        return before
    weight = 1.0 - math.exp(-passed / _PACE_SECONDS)
    rate = before.per_second + ((done - before.done) / passed - before.per_second) * weight
    return Pace(now, done, rate, since)


def outlook(pace: Pace, total: int, *, window: int, expires_at: int, now: float) -> Outlook:
    """When the rest will be done at this pace; nothing while that is a guess."""
    early = now - pace.since < _ETA_SECONDS_MIN
    few = pace.done < _ETA_LINES_MIN and pace.done < total * _ETA_SHARE_MIN
    if early or few or pace.per_second <= 0:
        return Outlook()
    end = now + (total - pace.done) / pace.per_second
    if end > expires_at:
        verdict: Literal["on_track", "at_risk", "will_miss"] = "will_miss"
    elif end > expires_at - window * _MARGIN_SHARE:
        verdict = "at_risk"
    else:
        verdict = "on_track"
    return Outlook(int(min(end, 2**53)), verdict)
