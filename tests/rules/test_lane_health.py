"""Whether a lane is sick, and whether a line's failures are its own: tables and series."""

from random import Random

import pytest

from batchyard.rules.failures import Failure, failure_of_answer, failure_of_fault
from batchyard.rules.lane_health import LaneHealth, Sickness, Trouble, probe_delay_seconds

ERROR = failure_of_answer(500, [], b'{"error":{"message":"too large"}}')
RESET = failure_of_fault("upstream_unreachable", "reset", sent=True)
REFUSED = failure_of_answer(403, [], b'{"error":{"message":"flagged"}}')
THROTTLED = failure_of_answer(429, [], b'{"error":{"message":"slow down"}}')


def answered(health: LaneHealth, times: int = 1, trouble: Trouble | None = None) -> None:
    """So many other lines are answered."""
    for _ in range(times):
        health.answers += 1
        health.answered(trouble)


def tries_of_one(
    failure: Failure, between: int, *, seconds: float = 1.0, most: int = 60
) -> int | None:
    """After how many tries a line is given up, with so many answers to others between them."""
    health, trouble, now = LaneHealth(), None, 0.0
    for tries in range(1, most):
        trouble = health.failed(trouble, failure, now)
        if health.is_own(trouble, failure, now):
            return tries
        health.retrying(trouble)
        answered(health, between)
        now += seconds
    return None


@pytest.mark.parametrize(
    ("failure", "between", "tries"),
    [
        # The same answer twice while many others are answered; more where fewer are.
        (ERROR, 1_000, 2),
        (ERROR, 100, 3),
        (ERROR, 10, 4),
        (ERROR, 1, 6),
        # Nobody else is answered: nothing tells whose it is.
        (ERROR, 0, None),
        (RESET, 1_000, 6),
        (RESET, 1, 6),
        (RESET, 0, None),
        (REFUSED, 1_000, 3),
        (REFUSED, 1, 6),
        (REFUSED, 0, None),
    ],
)
def test_a_line_is_given_up_after_tries(failure: Failure, between: int, tries: int | None) -> None:
    """The fewer answers there are beside it, the more tries it takes."""
    assert tries_of_one(failure, between) == tries


def test_a_line_that_is_throttled_has_minutes() -> None:
    """One 429 after the other, while others are answered: final, but not within two minutes."""
    assert tries_of_one(THROTTLED, 100, seconds=1.0, most=130) == 121
    assert tries_of_one(THROTTLED, 100, seconds=60.0) == 10


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("failure", [ERROR, RESET], ids=["500", "reset"])
def test_what_fails_by_chance_is_nobodys_own(failure: Failure, share: float) -> None:
    """Of 20,000 lines whose calls fail at random, none is given up."""
    chance, health = Random(5), LaneHealth()
    troubled: list[Trouble] = []
    fresh, now = 20_000, 0.0
    while fresh or troubled:
        now += 1.0
        turn: list[Trouble | None] = [*troubled, *[None] * min(fresh, 200)]
        fresh -= min(fresh, 200)
        chance.shuffle(turn)
        troubled = []
        for trouble in turn:
            if trouble is not None:
                health.retrying(trouble)
            if chance.random() >= share:
                answered(health, 1, trouble)
                continue
            trouble = health.failed(trouble, failure, now)
            assert not health.is_own(trouble, failure, now)
            troubled.append(trouble)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_where_only_bad_lines_fail_they_are_found_in_few_tries(share: float) -> None:
    """That none of them recovers shows that the failures are no accidents."""
    chance, health, tries = Random(5), LaneHealth(), list[int]()
    troubled: list[Trouble] = []
    for turn in range(100):
        for trouble in troubled[:]:
            health.retrying(trouble)
            health.failed(trouble, ERROR, turn)
            if health.is_own(trouble, ERROR, turn):
                tries.append(trouble.failures)
                troubled.remove(trouble)
            answered(health)
        for _ in range(100 if turn < 90 else 0):
            if chance.random() < share:
                troubled.append(health.failed(None, ERROR, turn))
            else:
                answered(health)
    assert not troubled
    assert sum(tries) / len(tries) < 5
    assert health.are_own


@pytest.mark.parametrize(
    ("lines", "held", "fragile", "sick"),
    [
        (9, 100, False, False),
        (10, 100, False, True),
        (3, 100, True, True),
        (2, 100, True, False),
        (3, 3, False, True),
        (2, 3, False, False),
        (1, 1, False, True),
    ],
)
def test_a_lane_is_sick_when_lines_fail_in_a_row(
    lines: int, held: int, fragile: bool, sick: bool
) -> None:
    """Ten different lines, or all that it holds; fewer where it has just recovered."""
    health = LaneHealth()
    for _ in range(lines):
        health.failed(None, ERROR, 0.0)
    assert health.is_sick(held, fragile=fragile) == sick
    answered(health)
    assert not health.is_sick(held, fragile=fragile)


def test_one_line_alone_makes_no_lane_sick() -> None:
    """However often it is asked: its failures are one line's."""
    health = LaneHealth()
    trouble = health.failed(None, ERROR, 0.0)
    for _ in range(50):
        health.failed(trouble, ERROR, 1.0)
    assert not health.is_sick(100, fragile=False)
    assert trouble.tries == 1


def test_what_failed_while_the_lane_fell_sick_counts_no_try() -> None:
    """Failures before the verdict are of the outage as well as those after it."""
    health = LaneHealth()
    old = health.failed(None, ERROR, 0.0)
    answered(health)
    troubles = [health.failed(trouble, ERROR, 1.0) for trouble in (old, *[None] * 20)]
    assert old.tries == 2
    health.fall_sick(ERROR, 1.0, troubles)
    assert old.tries == 1
    assert {one.tries for one in troubles[1:]} == {0}


@pytest.mark.parametrize(
    ("kind", "after", "delay"),
    [
        ("upstream_down", 0.0, 0.25),
        ("upstream_down", 20.0, 2.0),
        ("upstream_down", 3_600.0, 15.0),
        ("upstream_out_of_credit", 0.0, 30.0),
        ("upstream_out_of_credit", 36_000.0, 300.0),
    ],
)
def test_probes_become_rarer(kind: str, after: float, delay: float) -> None:
    """A tenth of the time that it is sick, within bounds; seldom where credit is gone."""
    sickness = Sickness(kind, "x", "x", 100.0, is_of_requests=False)
    assert probe_delay_seconds(sickness, 100.0 + after) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("failure", "held", "after", "lost"),
    [
        (ERROR, 1, 1_800.0, True),
        (ERROR, 1, 1_700.0, False),
        (ERROR, 11, 80_000.0, False),
        (RESET, 1, 80_000.0, False),
        (failure_of_answer(502, [], b"<html>"), 1, 80_000.0, False),
        (failure_of_answer(200, [], b"data: x"), 1, 1.0, True),
    ],
)
def test_a_line_that_is_alone_is_given_up_in_time(
    failure: Failure, held: int, after: float, lost: bool
) -> None:
    """Only for what the upstream itself says of a request, and only where few lines are left."""
    health = LaneHealth()
    trouble = None
    for _ in range(8):
        trouble = health.probed(trouble, failure, 0.0)
    assert trouble is not None
    assert health.is_lost(trouble, failure, after, deadline=86_400.0, held=held) == lost
