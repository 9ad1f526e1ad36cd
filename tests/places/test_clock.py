"""The wall clock when somebody turns it."""

from batchyard.places.clock import Clock, system_clock


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0
        self.clock: Clock = system_clock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: float) -> float:
        """Let time pass, and ask for it."""
        self.wall += seconds
        self.steady += seconds
        return self.clock.wall()


def test_time_passes() -> None:
    """Without leaps the wall clock is what it says; small corrections are followed."""
    hands = Hands()
    assert hands.pass_by(60) == 1_000_060
    hands.wall += 5
    assert hands.pass_by(60) == 1_000_125


def test_a_wrong_date_for_a_moment_is_not_believed() -> None:
    """A leap of a day that is taken back has expired nothing."""
    hands = Hands()
    hands.wall += 90_000
    assert hands.pass_by(60) == 1_000_060
    hands.wall -= 90_000
    assert hands.pass_by(60) == 1_000_120


def test_a_leap_that_lasts_is_followed() -> None:
    """After a sleep of hours the right time is told ten minutes later."""
    hands = Hands()
    hands.wall += 90_000
    assert hands.pass_by(60) < 1_001_000
    assert hands.pass_by(700) == 1_090_760


def test_time_begins_where_it_was_left() -> None:
    """A clock that was turned back between two lives goes on from the newest time written."""
    wall, steady = [1_000_000.0], [50.0]
    for newest, told in (
        (1_010_800.0, 1_010_800.0),
        (990_000.0, 1_000_000.0),
        (1_000_000.0 + 3 * 86_400, 1_000_000.0),
    ):
        clock = system_clock(lambda: wall[0], lambda: steady[0], not_before=newest)
        assert clock.wall() == told


def test_time_never_goes_back() -> None:
    """A clock that is turned back goes on from where it was."""
    hands = Hands()
    assert hands.pass_by(60) == 1_000_060
    hands.wall -= 7_200
    assert hands.pass_by(60) == 1_000_120
    hands.wall -= 100
    assert hands.pass_by(0) >= 1_000_120
