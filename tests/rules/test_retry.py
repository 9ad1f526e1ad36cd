"""How long is waited: tables of headers, and of tries."""

from random import Random

import pytest

from batchyard.rules.retry import (
    asked_pause_seconds,
    backoff_seconds,
)

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(b"content-type", b"application/json")], None),
        ([(b"retry-after", b"3")], 3.0),
        ([(b"retry-after", b" 3 ")], 3.0),
        ([(b"retry-after", b"0.5")], 0.5),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:50 GMT")], 30.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:00 GMT")], 0.0),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"1e9")], 600.0),
        ([(b"retry-after", b"abc")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"1"), (b"retry-after", b"2")], 2.0),
        ([(b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after-ms", b"-5")], None),
        (
            [
                (b"x-ratelimit-remaining-requests", b"0"),
                (b"x-ratelimit-reset-requests", b"6m0s"),
            ],
            360.0,
        ),
        (
            [
                (b"x-ratelimit-remaining-tokens", b"0"),
                (b"x-ratelimit-reset-tokens", b"20ms"),
            ],
            0.02,
        ),
        (
            [
                (b"x-ratelimit-remaining-tokens", b"7"),
                (b"x-ratelimit-reset-tokens", b"6m0s"),
            ],
            None,
        ),
    ],
)
def test_a_pause_is_read(headers: list[tuple[bytes, bytes]], expected: float | None) -> None:
    """Every form of asking for patience is understood; none is believed beyond ten minutes."""
    assert asked_pause_seconds(429, headers, NOW) == (
        pytest.approx(expected) if expected is not None else None
    )


def test_a_success_is_not_kept_waiting_by_retry_after() -> None:
    """Only a refusal's Retry-After counts; an empty budget counts on every answer."""
    assert asked_pause_seconds(200, [(b"retry-after", b"3")], NOW) is None
    empty = [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"2s")]
    assert asked_pause_seconds(200, empty, NOW) == 2.0


def test_backing_off_doubles_with_chance_and_has_an_end() -> None:
    """Tries spread out: between half and the whole of a wait that doubles up to a minute."""
    chance = Random(7)
    for tries, whole in [(1, 0.5), (2, 1.0), (3, 2.0), (8, 60.0), (1_000, 60.0)]:
        for _ in range(50):
            assert whole / 2 <= backoff_seconds(tries, chance) <= whole
