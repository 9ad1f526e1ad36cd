"""Why a batch does not move, and when it will be done."""

import pytest

from batchyard.rules.standing import (
    Facts,
    LaneStanding,
    Outlook,
    Pace,
    Wait,
    outlook,
    paced,
    reason,
)

NOW = 1_000
RUNNING = {
    "status": "in_progress",
    "admitted_at": 900,
    "in_progress_at": 900,
    "moved_at": 990,
}
IDLE = LaneStanding(width=8, in_flight=0)
BUSY = LaneStanding(width=8, in_flight=3)
DOWN = LaneStanding(
    width=8,
    in_flight=0,
    trouble="upstream_down: connection refused",
    trouble_since=990,
    probe_at=1_004,
)
THROTTLED = LaneStanding(
    width=4, in_flight=1, trouble="upstream_throttling: HTTP 429", trouble_since=995, probe_at=1_009
)
OUT_OF_CREDIT = LaneStanding(
    width=4,
    in_flight=0,
    trouble="upstream_out_of_credit: HTTP 402: top up",
    trouble_since=900,
    probe_at=1_060,
)
BACKING_OFF = LaneStanding(width=8, in_flight=0, waiting=12, retry_at=1_002)
STALLED = LaneStanding(width=8, in_flight=0, unrecorded_since=980)
LOCKED = LaneStanding(
    width=0,
    in_flight=0,
    unrecorded_since=970,
    unrecorded_why="store_unavailable: results cannot be written: it is locked",
)
LACKING = LaneStanding(width=0, in_flight=0, trouble="upstream_lacks_model: no m")
WAIT = Wait("m", 2_000, 1_900, 300, ("batch_a", "batch_b"))


def lanes(*standings: LaneStanding) -> dict[str, object]:
    """Facts of a running batch whose lanes stand so."""
    return RUNNING | {"lanes": tuple(("gpu", one) for one in standings)}


@pytest.mark.parametrize(
    ("facts", "code", "message", "since"),
    [
        (RUNNING | {"paused_at": 950, "paused_by": "user"}, "paused_by", "paused by user", 950),
        (
            RUNNING | {"admitted_at": None, "waits": (WAIT,)},
            "waiting_quota",
            "1,900 of 2,000 enqueued tokens of m are held by batch_a, batch_b; this batch needs "
            "300",
            900,
        ),
        (RUNNING | {"workers": 0}, "no_worker", "no worker runs", None),
        ({"status": "validating", "workers": 0}, "no_worker", "no worker runs", None),
        (lanes(STALLED), "disk_low", "results cannot be written", 980),
        (lanes(LOCKED), "store_unavailable", "results cannot be written: it is locked", 970),
        (lanes(LACKING), "upstream_lacks_model", "gpu does not serve the model (no m);", None),
        (
            RUNNING | {"lanes": (("a, b", LACKING),)},
            "upstream_lacks_model",
            "a, b do not serve the model (no m); they are probed again",
            None,
        ),
        (
            lanes(DOWN),
            "upstream_down",
            "gpu is down (connection refused); it is probed again in 4 s",
            990,
        ),
        (
            lanes(THROTTLED),
            "upstream_throttling",
            "gpu asks for a pause (HTTP 429); lines are sent again in 9 s",
            995,
        ),
        (
            lanes(BACKING_OFF),
            "retry_backoff",
            "12 lines failed for now; they are tried again in 2 s",
            None,
        ),
        (
            lanes(BUSY, BUSY) | {"moved_at": 930},
            "upstream_slow",
            "no answer has come for 70 s; 6 in flight at gpu",
            930,
        ),
        (
            lanes(OUT_OF_CREDIT),
            "upstream_out_of_credit",
            "gpu says that the credit is used up (HTTP 402: top up); it is probed again in 60 s",
            900,
        ),
        (RUNNING | {"above": 2}, "behind_higher_priority", "2 batches of higher priority", None),
        (RUNNING | {"above": 1}, "behind_higher_priority", "1 batch of higher priority", None),
    ],
)
def test_a_batch_says_why_it_stands(
    facts: dict[str, object], code: str, message: str, since: int | None
) -> None:
    """One code, one line with the figures, and since when."""
    found = reason(Facts(**facts), NOW)  # type: ignore[arg-type]
    assert found is not None
    assert (found.code, found.since) == (code, since)
    assert message in found.message


@pytest.mark.parametrize(
    "facts",
    [
        {"status": "validating"},
        {"status": "finalizing", "workers": 0},
        RUNNING,
        lanes(IDLE),
        lanes(DOWN, BUSY),
        lanes(BACKING_OFF, BUSY),
    ],
)
def test_a_batch_that_moves_has_no_reason(facts: dict[str, object]) -> None:
    """One lane that works is enough."""
    assert reason(Facts(**facts), NOW) is None  # type: ignore[arg-type]


def test_what_waits_behind_others_says_so() -> None:
    """There may be tokens enough, and an older batch first in the queue; or never enough."""
    facts = {"status": "in_progress", "in_progress_at": 900}
    behind = reason(Facts(**facts, waits=(Wait("m", 100, 10, 5, ("a",)),)), NOW)  # type: ignore[arg-type]
    never = reason(Facts(**facts, waits=(Wait("m", 100, 0, 500, ()),)), NOW)  # type: ignore[arg-type]
    assert behind is not None
    assert "an older batch waits for them too" in behind.message
    assert never is not None
    assert "it alone needs 500 of 100 tokens" in never.message


def test_a_pace_follows_what_comes() -> None:
    """It begins as the mean, follows a change within a minute, and starts anew with the batch."""
    pace = paced(None, 110.0, 100, since=100)
    assert pace.per_second == 10
    assert paced(pace, 111.0, 500, since=100) is pace
    for second in range(112, 232, 10):
        pace = paced(pace, float(second), 100, since=100)
    assert pace.per_second < 1
    assert paced(pace, 300.0, 100, since=290).per_second == 10


@pytest.mark.parametrize(
    ("pace", "total", "expected"),
    [
        (Pace(1_000.0, 500, 10.0, 900.0), 1_500, Outlook(1_100, "on_track")),
        (Pace(1_000.0, 500, 10.0, 900.0), 10_000, Outlook(1_950, "at_risk")),
        (Pace(1_000.0, 500, 10.0, 900.0), 12_000, Outlook(2_150, "will_miss")),
        (Pace(1_000.0, 500, 0.0, 900.0), 12_000, Outlook()),
        (Pace(1_000.0, 500, 10.0, 990.0), 1_500, Outlook()),
        (Pace(1_000.0, 19, 10.0, 900.0), 10_000, Outlook()),
        (Pace(1_000.0, 19, 10.0, 900.0), 1_000, Outlook(1_098, "on_track")),
    ],
)
def test_an_outlook_is_held_against_the_deadline(pace: Pace, total: int, expected: Outlook) -> None:
    """A tenth of the window should be left; an early guess is not shown."""
    assert outlook(pace, total, window=1_000, expires_at=2_000, now=1_000.0) == expected
