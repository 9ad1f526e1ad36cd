"""When a delivery is tried again."""

import itertools
from random import Random

import pytest

from batchyard.rules.telling import GIVE_UP_SECONDS, Taken, weigh_answer

NOW = 1_800_000_000.0


def weigh(
    status: int, attempts: int = 1, age: float = 0.0, *headers: tuple[bytes, bytes], seed: int = 1
) -> Taken:
    return weigh_answer(status, headers, attempts, age_seconds=age, now=NOW, chance=Random(seed))


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_success_is_any_2xx(status: int) -> None:
    """Whatever the attempt, and however old the event is."""
    assert Taken("delivered") == weigh(status, 9, GIVE_UP_SECONDS * 2)


@pytest.mark.parametrize("status", [0, 301, 400, 401, 404, 429, 500, 503])
def test_all_else_is_tried_again(status: int) -> None:
    """Until the event is 72 hours old."""
    taken = weigh(status)
    assert taken.state == "pending"
    assert taken.due_at is not None
    assert NOW + 2.5 <= taken.due_at <= NOW + 5
    assert Taken("given_up") == weigh(status, 30, GIVE_UP_SECONDS)


def test_gone_is_goodbye() -> None:
    """410 ends it for the endpoint as a whole."""
    assert Taken("given_up", gone=True) == weigh(410)


def test_waiting_doubles_with_jitter() -> None:
    """From seconds to hours, never the same for two."""
    waits = [(weigh(500, n).due_at or 0) - NOW for n in range(1, 20)]
    assert all(later <= 4 * earlier + 1e-6 for earlier, later in itertools.pairwise(waits))
    assert 2 * 3_600 <= waits[-1] <= 4 * 3_600
    assert len({weigh(500, 5, seed=seed).due_at for seed in range(20)}) == 20


def test_retry_after_is_honoured() -> None:
    """What the receiver asks for is waited for, where it is more."""
    assert weigh(503, 1, 0.0, (b"retry-after", b"120")).due_at == NOW + 120
    assert weigh(503, 1, 0.0, (b"retry-after", b"999999")).due_at == NOW + 4 * 3_600
    assert (weigh(503, 12, 0.0, (b"retry-after", b"1")).due_at or 0) > NOW + 60


def test_the_last_attempt_is_made_at_the_end() -> None:
    """Not when the back-off would have come to it."""
    assert weigh(500, 20, GIVE_UP_SECONDS - 60.0).due_at == NOW + 60


def test_from_beginning_to_end() -> None:
    """An endpoint that is down for 72 hours is asked some thirty times."""
    age, attempts, chance = 0.0, 0, Random(7)
    while True:
        attempts += 1
        taken = weigh_answer(0, (), attempts, age_seconds=age, now=NOW, chance=chance)
        if taken.due_at is None:
            break
        age += taken.due_at - NOW
    assert taken.state == "given_up"
    assert age == pytest.approx(GIVE_UP_SECONDS)
    assert 25 <= attempts <= 50
