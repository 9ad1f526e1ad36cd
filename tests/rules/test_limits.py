"""Windows and batches: what profiles allow, and how a batch ends."""

import pytest

from batchyard.rules.limits import RELAXED, STRICT, Limits, window_seconds
from batchyard.rules.settle import settle


@pytest.mark.parametrize(
    ("text", "limits", "seconds"),
    [
        ("24h", STRICT, 86_400),
        ("1h", STRICT, None),
        ("7d", STRICT, None),
        ("90m", RELAXED, 5_400),
        ("24h", RELAXED, 86_400),
        ("7d", RELAXED, 604_800),
        ("30d", RELAXED, 2_592_000),
        ("31d", RELAXED, None),
        ("60s", RELAXED, 60),
        ("59s", RELAXED, None),
        ("", RELAXED, None),
        ("24", RELAXED, None),
        ("h", RELAXED, None),
        ("-1h", RELAXED, None),
        ("0h", RELAXED, None),
        ("1.5h", RELAXED, None),
        ("99999999999h", RELAXED, None),
    ],
)
def test_a_window_is_read(text: str, limits: Limits, seconds: int | None) -> None:
    """`strict` knows one window; `relaxed` any from a minute to thirty days."""
    assert window_seconds(text, limits) == seconds


def test_an_end_is_settled() -> None:
    """A cancelled batch is cancelled; a finalizing one completed, or expired if lines lack."""
    assert settle("cancelling", unanswered=0).status == "cancelled"
    assert settle("cancelling", unanswered=5).code == "batch_cancelled"
    assert settle("finalizing", unanswered=0).status == "completed"
    assert settle("finalizing", unanswered=1).code == "batch_expired"
    with pytest.raises(AssertionError):
        settle("in_progress", unanswered=0)
