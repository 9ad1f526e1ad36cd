"""The bucket of requests that a key may make."""

import pytest

from batchyard.rules.pace import in_words, take


def test_a_minutes_requests_may_come_at_once() -> None:
    """Then each must wait for its share of the minute."""
    full_at, now = 0.0, 100.0
    for left in (2, 1, 0):
        pace = take(full_at, now, 3)
        assert (pace.allowed, pace.remaining) == (True, left)
        full_at = pace.full_at
    refused = take(full_at, now, 3)
    assert (refused.allowed, refused.remaining, refused.full_at) == (False, 0, full_at)
    assert refused.wait_seconds == pytest.approx(20.0)
    assert refused.reset_seconds == pytest.approx(60.0)
    assert take(full_at, now + refused.wait_seconds, 3).allowed


@pytest.mark.parametrize("per_minute", [1, 7, 60, 300_000])
def test_a_refusal_costs_nothing_and_a_minute_heals_all(per_minute: int) -> None:
    """Whoever asks while refused is not held back for longer; no request is lost to rounding."""
    full_at = 0.0
    for round_begins in (1_000.0, 1_060.0):
        taken = 0
        while (pace := take(full_at, round_begins, per_minute)).allowed:
            full_at, taken = pace.full_at, taken + 1
        assert taken == per_minute
        assert take(pace.full_at, round_begins, per_minute).full_at == pace.full_at


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0ms"), (0.0001, "1ms"), (0.12, "120ms"), (8.64, "8.64s"), (20, "20s"), (360, "6m0s")],
)
def test_times_are_written_as_openai_does(seconds: float, words: str) -> None:
    """In the units of Go."""
    assert in_words(seconds) == words
